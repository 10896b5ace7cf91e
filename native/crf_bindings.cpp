// Linear-chain conditional random fields. Tensors come as data pointers; 0 stands for those that are not there.
#include <nanobind/stl/array.h>

#include "bindings.h"
#include "dispatch.h"

namespace nb = nanobind;

namespace recurra {
namespace {

using ChainPointers = std::array<std::uintptr_t, 5>;

template <class T>
T* pointer(std::uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

// Pointers: emissions, lengths, transitions, start, end.
template <class T>
LinearChain<T> open_chain(int steps, int batch, int tags, const ChainPointers& p) {
    return {steps,
            batch,
            tags,
            pointer<const T>(p[0]),
            pointer<const std::int64_t>(p[1]),
            pointer<const T>(p[2]),
            pointer<const T>(p[3]),
            pointer<const T>(p[4])};
}

// Nothing that the kernels use as an index may lead out of memory.
template <class T>
const LinearChain<T>& checked(const LinearChain<T>& chain, const std::int64_t* gold = nullptr) {
    if (chain.steps < 1 || chain.batch < 1 || chain.tags < 1)
        throw std::invalid_argument("at least one step, sequence and tag");
    for (int b = 0; b < chain.batch; ++b) {
        if (chain.lengths[b] < 1 || chain.lengths[b] > chain.steps)
            throw std::invalid_argument("lengths from 1 to the number of steps");
        for (std::int64_t t = 0; gold && t < chain.lengths[b]; ++t) {
            const std::int64_t tag = gold[t * chain.batch + b];
            if (tag < 0 || tag >= chain.tags) throw std::invalid_argument("tags below the number of tags");
        }
    }
    return chain;
}

template <class T>
ChainLoss<T> open_loss(const LinearChain<T>& chain, const std::array<std::uintptr_t, 5>& p) {
    const auto* gold = pointer<const std::int64_t>(p[0]);
    return {checked(chain, gold), gold, pointer<const T>(p[1]), pointer<T>(p[2]), pointer<T>(p[3]), pointer<T>(p[4])};
}

// Pointers of the loss: gold tags, weights; values, and the gradients of emissions and transitions.
void loss(bool doubles, int steps, int batch, int tags, const ChainPointers& chain,
          const std::array<std::uintptr_t, 5>& pointers) {
    const Kernels& best = kernels();
    nb::gil_scoped_release free;
    if (doubles)
        best.chain_loss_f64(open_loss(open_chain<double>(steps, batch, tags, chain), pointers));
    else
        best.chain_loss_f32(open_loss(open_chain<float>(steps, batch, tags, chain), pointers));
}

void decode(int steps, int batch, int tags, const ChainPointers& chain, int paths, std::uintptr_t found,
            std::uintptr_t scores) {
    if (paths < 1) throw std::invalid_argument("at least one path");
    const Kernels& best = kernels();
    nb::gil_scoped_release free;
    best.best_paths({checked(open_chain<double>(steps, batch, tags, chain)), paths, pointer<std::int64_t>(found),
                     pointer<double>(scores)});
}

}  // namespace

void bind_crf(nb::module_& m) {
    m.def("chain_loss", &loss, "doubles"_a, "steps"_a, "batch"_a, "tags"_a, "chain"_a, "pointers"_a);
    m.def("best_paths", &decode, "steps"_a, "batch"_a, "tags"_a, "chain"_a, "paths"_a, "found"_a, "scores"_a);
}

}  // namespace recurra
