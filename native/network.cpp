#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

#include "network_layer.h"

namespace recurra {
void Numbers::Free::operator()(char* p) const { std::free(p); }

void Numbers::resize(std::size_t bytes) {
    bytes = (bytes + 127) / 64 * 64;  // never empty
    if (bytes <= size_) return;
    void* fresh = nullptr;
    if (posix_memalign(&fresh, 64, bytes) != 0) throw std::bad_alloc();
    if (size_) std::memcpy(fresh, start_.get(), size_);
    std::memset(static_cast<char*>(fresh) + size_, 0, bytes - size_);
    start_.reset(static_cast<char*>(fresh));
    size_ = bytes;
}

Network::Network(bool doubles, std::vector<LayerPlan> plans, std::vector<Piece> output, int input_width, int vocabulary,
                 Narrow narrow)
    : doubles_(doubles),
      kernels_(step_kernels_of(doubles)),
      output_(std::move(output)),
      input_width_(input_width),
      vocabulary_(vocabulary),
      narrow_(narrow),
      chooser_(kernels_, doubles, vocabulary) {
    for (LayerPlan& plan : plans) {
        layers_.push_back(std::make_unique<Layer>());
        layers_.back()->plan = std::move(plan);
        open_layer(*layers_.back());
    }
}

Network::~Network() = default;

void Network::open_layer(Layer& layer) {
    const Code& code = *layer.plan.code;
    if (static_cast<int>(layer.plan.roles.size()) != code.buffer_count)
        throw std::invalid_argument("as many roles as the code has buffers");
    layer.buffers.resize(layer.plan.roles.size());
    layer.own.resize(layer.plan.roles.size());
    auto note = [](std::vector<int>& list, int index, int buffer) {
        if (static_cast<int>(list.size()) <= index) list.resize(static_cast<std::size_t>(index) + 1, -1);
        list[index] = buffer;
    };
    for (int k = 0; k < code.buffer_count; ++k) {
        const BufferRole& role = layer.plan.roles[k];
        switch (role.role) {
            case Role::input:
                layer.input_buffer = k;
                break;
            case Role::output:
                layer.output_buffer = k;
                break;
            case Role::further:
                note(layer.further_buffers, role.index, k);
                break;
            case Role::state:
                note(layer.state_buffers, role.index, k);
                break;
            case Role::final:
                note(layer.final_buffers, role.index, k);
                break;
            case Role::weight:
                note(layer.weight_buffers, role.index, k);
                break;
            case Role::own:
                break;
        }
    }
    layer.weights.resize(layer.weight_buffers.size());
    layer.states.resize(layer.final_buffers.size());
    for (std::vector<Numbers>& ring : layer.states) ring.resize(layer.slots());
    layer.places.resize(16 * static_cast<std::size_t>(code.slot_count));
    layer.registers.resize(size(code.registers + 16));
    layer.own[0].resize(size(code.constant_count));
    layer.buffers[0] = layer.own[0].data();
    for (int k = 0; k < code.constant_count; ++k)
        if (doubles_)
            reinterpret_cast<double*>(layer.buffers[0])[k] = code.constants[k];
        else
            reinterpret_cast<float*>(layer.buffers[0])[k] = static_cast<float>(code.constants[k]);
    open_products(layer);
}

void Network::open_products(Layer& layer) {
    const Code& code = *layer.plan.code;
    const std::size_t count = narrow_ == Narrow::none ? 0 : static_cast<std::size_t>(code.product_count);
    layer.narrow.resize(count);
    layer.panels.resize(2 * count);
    for (int phase = 0; phase < 3; ++phase)
        for (int k = 0; k < code.stage_count[phase]; ++k) {
            const Stage& stage = code.stages[phase][k];
            if (stage.kind != StageKind::program && stage.kind != StageKind::multiply)
                throw std::invalid_argument("a code of a step has programs and products only");
            if (stage.kind == StageKind::program || count == 0) continue;
            Numbers &panels = layer.panels[2 * stage.product], &scales = layer.panels[2 * stage.product + 1];
            panels.resize(kernels_.narrow_bytes(stage, narrow_));
            scales.resize(sizeof(float) * stage.columns);
            layer.narrow[stage.product] = {narrow_, panels.data(), reinterpret_cast<float*>(scales.data())};
        }
}

void Network::set_weight(int index, int weight, const std::vector<std::uintptr_t>& parts) {
    Layer& layer = *layers_.at(index);
    const int buffer = layer.weight_buffers.at(weight);
    if (buffer < 0) return;  // the code does not read it
    if (parts.size() == 1) {
        layer.weights[weight].clear();
        layer.buffers[buffer] = reinterpret_cast<void*>(parts[0]);
        return;
    }
    layer.own[buffer].resize(size(layer.width(buffer)));
    layer.buffers[buffer] = layer.own[buffer].data();
    layer.weights[weight].assign(parts.size(), nullptr);
    std::transform(parts.begin(), parts.end(), layer.weights[weight].begin(),
                   [](std::uintptr_t p) { return reinterpret_cast<const char*>(p); });
}

// Weights that are sums of several tensors are added up at each step: they are never old.
void Network::sum_weights() {
    for (auto& layer : layers_)
        for (std::size_t w = 0; w < layer->weights.size(); ++w) {
            const auto& parts = layer->weights[w];
            if (parts.empty()) continue;
            const int buffer = layer->weight_buffers[w];
            char* to = static_cast<char*>(layer->buffers[buffer]);
            std::memcpy(to, parts[0], size(layer->width(buffer)));
            for (std::size_t k = 1; k < parts.size(); ++k) add_rows(to, parts[k], layer->width(buffer));
        }
}

void Network::convert() {
    sum_weights();
    for (auto& layer : layers_) {
        if (layer->narrow.empty()) continue;
        const Code& code = *layer->plan.code;
        for (int phase = 0; phase < 3; ++phase)
            for (int k = 0; k < code.stage_count[phase]; ++k) {
                const Stage& stage = code.stages[phase][k];
                if (stage.kind == StageKind::multiply)
                    kernels_.narrow(stage, layer->buffers.data(), layer->narrow[stage.product]);
            }
    }
}

// Sequences

void Network::grow(int rows) {
    if (rows <= capacity_) return;
    capacity_ = std::max(rows, 2 * capacity_);
    const std::size_t most = static_cast<std::size_t>(capacity_);
    for (auto& layer : layers_) {
        const Code& code = *layer->plan.code;
        for (int k = 1; k < code.buffer_count; ++k) {
            const Role role = layer->plan.roles[k].role;
            if (role != Role::own && role != Role::output) continue;
            layer->own[k].resize(size((code.buffers[k].rows == Extent::once ? 1 : most) * layer->width(k)));
            layer->buffers[k] = layer->own[k].data();
        }
        for (std::size_t s = 0; s < layer->states.size(); ++s)
            for (Numbers& slot : layer->states[s]) slot.resize(size(most * layer->width(layer->final_buffers[s])));
        layer->local.resize(size(most * code.local_width));
        if (layer->plan.input.size() > 1) layer->input.resize(size(most * layer->width(layer->input_buffer)));
    }
    if (vocabulary_) embedded_.resize(size(most * input_width_));
}

void Network::join(int count) {
    grow(rows_ + count);
    std::vector<int> fresh;
    for (int k = 0; k < count; ++k) fresh.push_back(rows_ + k);
    rows_ += count;
    ready_.resize(rows_);
    generators_.resize(rows_, Generator(0, 0));
    reset(fresh);
}

void Network::reset(const std::vector<int>& rows) {
    each_state([&](const Numbers& numbers, std::size_t bytes) {
        for (int row : rows) std::memset(numbers.data() + row * bytes, 0, bytes);
    });
    for (int row : rows) ready_[row] = 0;
}

void Network::leave(const std::vector<int>& rows) {
    std::vector<int> left;
    for (int row = 0; row < rows_; ++row)
        if (!std::binary_search(rows.begin(), rows.end(), row)) left.push_back(row);
    auto close_up = [&](const Numbers& numbers, std::size_t bytes) {
        for (std::size_t k = 0; k < left.size(); ++k)
            if (left[k] != static_cast<int>(k))
                std::memcpy(numbers.data() + k * bytes, numbers.data() + left[k] * bytes, bytes);
    };
    each_state(close_up);
    if (vocabulary_) close_up(layers_.back()->own[layers_.back()->output_buffer], size(vocabulary_));
    for (std::size_t k = 0; k < left.size(); ++k) {
        ready_[k] = ready_[left[k]];
        generators_[k] = generators_[left[k]];
    }
    rows_ = static_cast<int>(left.size());
    ready_.resize(rows_);
    generators_.resize(rows_, Generator(0, 0));
}

// Calls f with every slot of every state, and the bytes of its rows.
template <class F>
void Network::each_state(F f) {
    for (auto& layer : layers_)
        for (std::size_t s = 0; s < layer->states.size(); ++s)
            for (Numbers& slot : layer->states[s]) f(slot, size(layer->width(layer->final_buffers[s])));
}

char* Network::slot(const Layer& layer, int state, int number) const {
    return layer.states[state][(layer.phase + number) % layer.slots()].data();
}

void Network::read_state(int index, int state, int first, int count, std::uintptr_t to) const {
    const Layer& layer = *layers_.at(index);
    const std::size_t row = size(layer.width(layer.final_buffers.at(state)));
    for (int d = 0; d < layer.plan.dilation; ++d)
        std::memcpy(reinterpret_cast<char*>(to) + d * count * row, slot(layer, state, d) + first * row, count * row);
}

void Network::write_state(int index, int state, int first, int count, std::uintptr_t from) {
    Layer& layer = *layers_.at(index);
    const std::size_t row = size(layer.width(layer.final_buffers.at(state)));
    for (int d = 0; d < layer.plan.dilation; ++d)
        std::memcpy(slot(layer, state, d) + first * row, reinterpret_cast<const char*>(from) + d * count * row,
                    count * row);
    std::fill(ready_.begin() + first, ready_.begin() + first + count, 0);
}

// Steps

void Network::check_rows(int rows) const {
    if (rows != rows_) throw std::invalid_argument("the batch changed while it was stepped");
}

const char* Network::value(int number, const char* input) const {
    if (number == 0) return input;
    const Layer& layer = *layers_[number - 1];
    return static_cast<const char*>(layer.buffers[layer.output_buffer]);
}

void Network::assemble(const std::vector<Piece>& pieces, const char* input, char* to) const {
    std::size_t whole = 0, column = 0;
    for (const Piece& piece : pieces) whole += size(piece.width);
    for (const Piece& piece : pieces) {
        const std::size_t width = size(piece.width);
        const char* from = value(piece.value, input);
        for (int r = 0; r < rows_; ++r) std::memcpy(to + r * whole + column, from + r * width, width);
        column += width;
    }
}

void Network::add_rows(char* to, const char* from, std::size_t numbers) const {
    auto add = [numbers](auto* a, const auto* b) {
        for (std::size_t k = 0; k < numbers; ++k) a[k] += b[k];
    };
    if (doubles_)
        add(reinterpret_cast<double*>(to), reinterpret_cast<const double*>(from));
    else
        add(reinterpret_cast<float*>(to), reinterpret_cast<const float*>(from));
}

void Network::run_layer(Layer& layer, const char* input, int first_phase) {
    const std::vector<Piece>& pieces = layer.plan.input;
    if (pieces.size() > 1) assemble(pieces, input, layer.input.data());
    const char* x = pieces.size() > 1 ? layer.input.data() : value(pieces[0].value, input);
    if (layer.input_buffer >= 0) layer.buffers[layer.input_buffer] = const_cast<char*>(x);
    layer.back = !layer.back;
    kernels_.run(layer.here(), rows_, first_phase, 3);
    if (layer.plan.residual)
        add_rows(static_cast<char*>(layer.buffers[layer.output_buffer]), x,
                 static_cast<std::size_t>(rows_) * layer.width(layer.output_buffer));
}

// The states that the network holds: the step reads the oldest slot and writes the free one.
void Network::point_states(Layer& layer) {
    for (int s = 0; s < static_cast<int>(layer.states.size()); ++s) {
        layer.buffers[layer.state_buffers[s]] = slot(layer, s, 0);
        layer.buffers[layer.final_buffers[s]] = slot(layer, s, layer.plan.dilation);
    }
    layer.phase = (layer.phase + 1) % layer.slots();
}

// All layers; the output goes to `output`, or, for null, stays where the last layer leaves it.
void Network::run_layers(const char* input, int first_phase, char* output) {
    Layer& top = *layers_.back();
    const bool direct = output_.size() == 1;
    if (output && direct) top.buffers[top.output_buffer] = output;
    for (auto& layer : layers_) {
        run_layer(*layer, input, first_phase);
        first_phase = 0;
    }
    if (output && !direct) assemble(output_, input, output);
}

void Network::step(int rows, std::uintptr_t input, const std::vector<std::uintptr_t>& further, std::uintptr_t output) {
    check_rows(rows);
    if (rows == 0) return;
    sum_weights();
    for (auto& layer : layers_)
        for (std::size_t k = 0; k < layer->further_buffers.size(); ++k)
            if (layer->further_buffers[k] >= 0)
                layer->buffers[layer->further_buffers[k]] = reinterpret_cast<void*>(further.at(k));
    for (auto& layer : layers_) point_states(*layer);
    run_layers(reinterpret_cast<const char*>(input), 0, reinterpret_cast<char*>(output));
}

void Network::step_apart(int rows, std::uintptr_t input, const std::vector<std::uintptr_t>& initial,
                         const std::vector<std::uintptr_t>& final, std::uintptr_t output) {
    grow(rows);
    sum_weights();
    std::size_t k = 0;
    for (auto& layer : layers_)
        for (std::size_t s = 0; s < layer->states.size(); ++s, ++k) {
            layer->buffers[layer->state_buffers[s]] = reinterpret_cast<void*>(initial.at(k));
            layer->buffers[layer->final_buffers[s]] = reinterpret_cast<void*>(final.at(k));
        }
    const int held = rows_;
    rows_ = rows;
    run_layers(reinterpret_cast<const char*>(input), 0, reinterpret_cast<char*>(output));
    rows_ = held;
}

}  // namespace recurra
