// Networks that are stepped. Tensors come as data pointers.
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "bindings.h"
#include "network.h"

namespace nb = nanobind;

namespace recurra {
namespace {

// (code, (role, index) by buffer, (value, width) of the input's pieces, residual, dilation)
using Plan = std::tuple<const Code*, std::vector<std::tuple<int, int>>, std::vector<std::tuple<int, int>>, bool, int>;

std::vector<Piece> pieces_of(const std::vector<std::tuple<int, int>>& listed) {
    std::vector<Piece> pieces;
    for (const auto& [value, width] : listed) pieces.push_back({value, width});
    return pieces;
}

void make(Network* at, bool doubles, const std::vector<Plan>& plans, const std::vector<std::tuple<int, int>>& output,
          int input_width, int vocabulary, int narrow) {
    std::vector<LayerPlan> layers;
    for (const auto& [code, roles, input, residual, dilation] : plans) {
        std::vector<BufferRole> listed;
        for (const auto& [role, index] : roles) listed.push_back({static_cast<Role>(role), index});
        layers.push_back({code, std::move(listed), pieces_of(input), residual, dilation});
    }
    new (at)
        Network(doubles, std::move(layers), pieces_of(output), input_width, vocabulary, static_cast<Narrow>(narrow));
}

// Calls f while Python runs on, one thread at a time.
template <class F>
auto alone(Network& network, F f) {
    nb::gil_scoped_release free;
    std::lock_guard<std::mutex> lock(network.busy());
    return f();
}

using Choosing = std::tuple<double, int, double, bool, std::vector<int>, int>;

int generate(Network& n, int rows, int count, const Choosing& given, std::uintptr_t tokens) {
    const auto& [temperature, top_k, top_p, greedy, excluded, stop] = given;
    const Choice choice = {temperature, top_k, top_p, greedy, excluded, stop};
    return alone(n, [&] { return n.generate(rows, count, choice, tokens); });
}

}  // namespace

void bind_stream(nb::module_& m) {
    using Rows = std::vector<int>;
    using Pointers = std::vector<std::uintptr_t>;
    nb::class_<Network>(m, "Network", "Layers that are stepped, with their states.")
        .def("__init__", &make, "doubles"_a, "layers"_a, "output"_a, "input_width"_a, "vocabulary"_a, "narrow"_a)
        .def("set_weight", [](Network& n, int layer, int weight,
                              const Pointers& parts) { alone(n, [&] { n.set_weight(layer, weight, parts); }); })
        .def("set_embedding", [](Network& n, std::uintptr_t table) { alone(n, [&] { n.set_embedding(table); }); })
        .def("convert", [](Network& n) { alone(n, [&] { n.convert(); }); })
        .def("join", [](Network& n, int count) { alone(n, [&] { n.join(count); }); })
        .def("leave", [](Network& n, const Rows& rows) { alone(n, [&] { n.leave(rows); }); })
        .def("reset", [](Network& n, const Rows& rows) { alone(n, [&] { n.reset(rows); }); })
        .def("read_state", [](Network& n, int layer, int state, int first, int count,
                              std::uintptr_t to) { alone(n, [&] { n.read_state(layer, state, first, count, to); }); })
        .def("write_state",
             [](Network& n, int layer, int state, int first, int count, std::uintptr_t from) {
                 alone(n, [&] { n.write_state(layer, state, first, count, from); });
             })
        .def("step", [](Network& n, int rows, std::uintptr_t x, const Pointers& further,
                        std::uintptr_t output) { alone(n, [&] { n.step(rows, x, further, output); }); })
        .def("step_apart",
             [](Network& n, int rows, std::uintptr_t x, const Pointers& initial, const Pointers& final,
                std::uintptr_t output) { alone(n, [&] { n.step_apart(rows, x, initial, final, output); }); })
        .def("read", [](Network& n, int rows, int steps, std::uintptr_t tokens,
                        std::uintptr_t log_probs) { alone(n, [&] { n.read(rows, steps, tokens, log_probs); }); })
        .def("seed", [](Network& n, std::uint64_t seed) { alone(n, [&] { n.seed(seed); }); })
        .def("ready", [](Network& n) { return alone(n, [&] { return n.ready(); }); })
        .def("open_table", [](Network& n) { return alone(n, [&] { return n.open_table(); }); })
        .def("close_table", [](Network& n) { alone(n, [&] { n.close_table(); }); })
        .def("generate", &generate);
}

}  // namespace recurra
