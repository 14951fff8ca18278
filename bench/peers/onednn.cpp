// SPDX-License-Identifier: MIT
#include <algorithm>
#include <memory>
#include <vector>

#include <dnnl.hpp>

#include "peers/peers.hpp"

namespace bench::peers {

Step onednn_cross_entropy(const CrossEntropyProblem<float>& problem) {
  struct Objects {
    explicit Objects(const CrossEntropyProblem<float>& p)
        : engine(dnnl::engine::kind::cpu, 0),
          stream(engine),
          shape({p.samples, p.classes}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::ab),
          adjusted(static_cast<std::size_t>(p.samples * p.classes)),
          logits(shape, engine, adjusted.data()),
          log_probabilities(shape, engine),
          incoming(shape, engine),
          gradient(shape, engine),
          forward_description({dnnl::prop_kind::forward_training, shape, 1}, engine),
          forward(forward_description),
          backward({{shape, shape, 1}, engine, forward_description}) {
      for (Index i = 0; i < p.samples; ++i) {
        for (Index k = 0; k < p.classes; ++k) {
          adjusted[static_cast<std::size_t>(i * p.classes + k)] = p.logits[i * p.classes + k] + p.offset[k];
        }
      }
    }

    dnnl::engine engine;
    dnnl::stream stream;
    dnnl::memory::desc shape;
    std::vector<float> adjusted;
    dnnl::memory logits, log_probabilities, incoming, gradient;
    dnnl::logsoftmax_forward::primitive_desc forward_description;
    dnnl::logsoftmax_forward forward;
    dnnl::logsoftmax_backward backward;
  };
  const auto objects = std::make_shared<Objects>(problem);
  const auto p = problem;
  const auto call = [objects, p] {
    Objects& o = *objects;
    o.forward.execute(o.stream, {{DNNL_ARG_SRC, o.logits}, {DNNL_ARG_DST, o.log_probabilities}});
    float total = 0;
    for (Index i = 0; i < p.samples; ++i) total += p.weights[p.labels[i]];
    float* incoming = static_cast<float*>(o.incoming.get_data_handle());
    std::fill(incoming, incoming + p.samples * p.classes, 0.0f);
    for (Index i = 0; i < p.samples; ++i) {
      incoming[i * p.classes + p.labels[i]] = -p.weights[p.labels[i]] / total;
    }
    o.backward.execute(o.stream, {{DNNL_ARG_DST, o.log_probabilities},
                                  {DNNL_ARG_DIFF_DST, o.incoming},
                                  {DNNL_ARG_DIFF_SRC, o.gradient}});
    o.stream.wait();
  };
  const auto result = [objects, p] {
    using Rows = ballast::RowMatrixX<float>;
    return Eigen::MatrixXd(
        Eigen::Map<const Rows>(static_cast<const float*>(objects->gradient.get_data_handle()), p.samples,
                               p.classes)
            .cast<double>());
  };
  return {call, result};
}

}  // namespace bench::peers
