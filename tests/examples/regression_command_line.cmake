# What imbalanced_regression does on the command line: bad input ends with status 2 and a reason, good input with a
# table and a picture.
file(REMOVE_RECURSE ${SCRATCH})
file(MAKE_DIRECTORY ${SCRATCH})
set(picture ${SCRATCH}/picture.svg)

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

write(word.csv "y,a,b\n0.5,1,2\nold,2,3\n")
write(narrow.csv "y,a\n0.5,1\n")
write(train.csv "-1.25,1,2\n-0.5,2,1\n0.75,1,1\n0.5,7,8\n3.5,8,7\n")
write(test.csv "0.1,1,2\n-9,8,8\n9,3,4\n")
write(constant.csv "2.5,1,2\n2.5,2,1\n")

expect(2 "unknown option '--bin'" --bin 3)
expect(2 "--bins is '-1', expected a whole number" --bins -1)
expect(2 "--train and --test go together" --test ${SCRATCH}/test.csv)
expect(2 "word.csv:3: the label is 'old', expected a finite number"
       --train ${SCRATCH}/word.csv --test ${SCRATCH}/test.csv)
expect(2 "narrow.csv:1: has 2 columns, expected 3" --train ${SCRATCH}/train.csv --test ${SCRATCH}/narrow.csv)
expect(2 "picture.svg: cannot be written" --seeds 1 --epochs 1 --picture ${SCRATCH}/none/picture.svg)
expect(0 "usage: " --help)

# Negative and fractional labels, test labels beyond the training range; a label that never varies.
expect(0 "plain.*LDS.*FDS.*Balanced MSE" --train ${SCRATCH}/train.csv --test ${SCRATCH}/test.csv --bins 7
       --seeds 2 --epochs 3 --picture ${picture})
expect(0 "plain.*Balanced MSE" --train ${SCRATCH}/constant.csv --test ${SCRATCH}/constant.csv --seeds 1 --epochs 2
       --picture ${picture})
expect(0 "3778 training samples.*plain.*Balanced MSE" --seeds 1 --epochs 2 --picture ${picture}
       --csv ${SCRATCH}/table.csv)
file(READ ${picture} drawn)
if(NOT drawn MATCHES "^<svg.*effective density.*per bin.*</svg>\n$")
  message(SEND_ERROR "${picture} is not the picture that was expected")
endif()
file(STRINGS ${SCRATCH}/table.csv rows)
list(LENGTH rows lines)
if(NOT lines EQUAL 12)
  message(SEND_ERROR "table.csv has ${lines} lines, expected a heading and 11 methods")
endif()
