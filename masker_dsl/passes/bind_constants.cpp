#include "masker_dsl/ir/internal_error.h"
#include "masker_dsl/passes/passes.h"
#include "masker_dsl/passes/rewrite.h"

namespace maskjit::passes {

ir::Function bind_constants(const ir::Function& function,
                            const std::vector<std::optional<Binding>>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!values[i]) continue;
    MASKJIT_CHECK(i < function.params().size(), "a value for a parameter that is not there");
    const ir::Param& param = function.params()[i];
    MASKJIT_CHECK(param.time == ir::BindingTime::Const,
                  "a run-time parameter bound at compile time: " + param.name);
    const ir::Scalar* scalar = std::get_if<ir::Scalar>(&*values[i]);
    MASKJIT_CHECK((scalar != nullptr ? scalar->type : ir::Type::Int) == param.type,
                  "a value of another type for parameter " + param.name);
  }
  return rewrite(function, [&](const Visit& visit) {
    if (visit.node.op != ir::Op::Parameter || visit.node.index >= values.size() ||
        !values[visit.node.index]) {
      return visit.unchanged();
    }
    const Binding& value = *values[visit.node.index];
    if (const ir::Share* share = std::get_if<ir::Share>(&value)) {
      return visit.out.share(share->share, visit.out.variable(ir::Var::KvLen));
    }
    return visit.out.constant(std::get<ir::Scalar>(value));
  });
}

}  // namespace maskjit::passes
