# What the main example does on the command line: bad input ends with status 2 and a reason, good input with a table.
file(REMOVE_RECURSE ${SCRATCH})
file(MAKE_DIRECTORY ${SCRATCH})
set(letter_test ${DATA}/letter_lt100_test.csv)

# expect(status regex arguments...): the exit status and both output streams of a run.
function(expect status regex)
  execute_process(COMMAND ${PROGRAM} ${ARGN} RESULT_VARIABLE came OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT came STREQUAL status OR NOT output MATCHES "${regex}")
    message(SEND_ERROR "${ARGN}\n  status ${came}, expected ${status}; expected \"${regex}\" in:\n${output}")
  endif()
endfunction()

function(write name text)
  file(WRITE ${SCRATCH}/${name} "${text}")
endfunction()

write(ragged.csv "y,a,b\n0,1,2\n1,2\n")
write(word.csv "y,a,b\n0,1,2\n1,2,x\n")
write(label.csv "y,a,b\n0,1,2\n1.5,2,3\n")
write(train.csv "y,a,b\n0,1,2\n0,2,1\n0,1,1\n2,7,8\n2,8,7\n")
write(test.csv "y,a,b\n0,1,2\n2,8,8\n")
write(other.csv "y,a,b\n0,1,2\n3,8,8\n")
write(fashion/train-images-idx3-ubyte "no images")
write(fashion/train-labels-idx1-ubyte "no labels")

expect(2 "unknown option '--sead'" --sead 3)
expect(2 "--seeds is '0', expected a whole number" --seeds 0)
expect(2 "--train and --test go together" --train ${letter_test})
expect(2 "none.csv: cannot be opened" --train ${SCRATCH}/none.csv --test ${letter_test})
expect(2 "ragged.csv:3: has 2 columns, expected 3" --train ${SCRATCH}/ragged.csv --test ${letter_test})
expect(2 "word.csv:3: column 3 is 'x', expected a finite number" --train ${SCRATCH}/word.csv --test ${letter_test})
expect(2 "label.csv:3: the label is '1.5'" --train ${SCRATCH}/label.csv --test ${letter_test})
expect(2 "letter_lt100_test.csv:1: has 17 columns, expected 3" --train ${SCRATCH}/train.csv --test ${letter_test})
expect(2 "other.csv:3: the label is '3'.*as in the training file"
       --train ${SCRATCH}/train.csv --test ${SCRATCH}/other.csv)
expect(2 "train-images-idx3-ubyte: no such file, nor with .gz" --fashion-mnist ${SCRATCH})
expect(2 "train-images-idx3-ubyte: is too short" --fashion-mnist ${SCRATCH}/fashion)
expect(2 "table.csv: cannot be written" --csv ${SCRATCH}/none/table.csv)
expect(0 "usage: " --help)

# A tiny set with a class that no training sample has (1), and the letter data for one epoch.
expect(0 "cross-entropy.*LWS" --train ${SCRATCH}/train.csv --test ${SCRATCH}/test.csv --seeds 2 --epochs 2)
expect(0 "26 classes.*cross-entropy.*LWS" --seeds 1 --epochs 1 --csv ${SCRATCH}/table.csv)
file(STRINGS ${SCRATCH}/table.csv rows)
list(LENGTH rows lines)
if(NOT lines EQUAL 12)
  message(SEND_ERROR "table.csv has ${lines} lines, expected a heading and 11 methods")
endif()
