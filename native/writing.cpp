// A network that reads and writes tokens.
#include <algorithm>
#include <cstring>

#include "network_layer.h"

namespace recurra {
namespace {

constexpr int table_block = 256;  // tokens whose rows of the table are made together

}  // namespace

void Network::read_tokens(const std::int64_t* tokens) {
    const std::size_t row = size(input_width_);
    if (embedding_) {
        for (int r = 0; r < rows_; ++r) std::memcpy(embedded_.data() + r * row, embedding_ + tokens[r] * row, row);
    } else {
        std::memset(embedded_.data(), 0, rows_ * row);
        for (int r = 0; r < rows_; ++r) set_one(embedded_.data() + r * row, tokens[r]);
    }
    for (const TableRows& table : table_) {
        const std::size_t bytes = size(table.width);
        char* to = static_cast<char*>(layers_[0]->buffers[table.buffer]);
        for (int r = 0; r < rows_; ++r) std::memcpy(to + r * bytes, table.numbers.data() + tokens[r] * bytes, bytes);
    }
    for (auto& layer : layers_) point_states(*layer);
    run_layers(embedded_.data(), table_.empty() ? 0 : 1, nullptr);
}

void Network::set_one(char* row, std::int64_t column) const {
    if (doubles_)
        reinterpret_cast<double*>(row)[column] = 1;
    else
        reinterpret_cast<float*>(row)[column] = 1;
}

const char* Network::logits() const {
    const Layer& top = *layers_.back();
    return static_cast<const char*>(top.buffers[top.output_buffer]);
}

void Network::read(int rows, int steps, std::uintptr_t from, std::uintptr_t log_probs) {
    check_rows(rows);
    const std::int64_t* tokens = reinterpret_cast<const std::int64_t*>(from);
    for (std::ptrdiff_t k = 0; k < static_cast<std::ptrdiff_t>(steps) * rows; ++k)
        if (tokens[k] < 0 || tokens[k] >= vocabulary_)
            throw std::out_of_range("tokens: expected numbers from 0 to " + std::to_string(vocabulary_ - 1) + ", got " +
                                    std::to_string(tokens[k]));
    if (rows == 0 || steps == 0) return;
    sum_weights();
    for (int t = 0; t < steps; ++t) read_tokens(tokens + static_cast<std::ptrdiff_t>(t) * rows);
    std::fill(ready_.begin(), ready_.end(), 1);
    const std::size_t row = size(vocabulary_);
    if (log_probs)
        for (int r = 0; r < rows; ++r)
            kernels_.log_softmax(logits() + r * row, reinterpret_cast<char*>(log_probs) + r * row, vocabulary_);
}

void Network::seed(std::uint64_t seed) {
    for (int r = 0; r < rows_; ++r) generators_[r] = Generator(seed, static_cast<std::uint64_t>(r));
}

bool Network::ready() const {
    return std::all_of(ready_.begin(), ready_.end(), [](char each) { return each != 0; });
}

int Network::generate(int rows, int count, const Choice& choice, std::uintptr_t to) {
    check_rows(rows);
    std::int64_t* tokens = reinterpret_cast<std::int64_t*>(to);
    std::vector<std::int64_t> chosen(static_cast<std::size_t>(rows));
    std::vector<char> ended(static_cast<std::size_t>(rows));
    sum_weights();
    int t = 0;
    for (bool going = rows > 0; going && t < count; ++t) {
        going = false;
        for (int r = 0; r < rows; ++r) {
            if (!ended[r]) {
                const int token = chooser_.choose(logits() + r * size(vocabulary_), choice, generators_[r]);
                if (token < 0) throw std::overflow_error("the model's output is not finite");
                chosen[r] = token;
                ended[r] = token == choice.stop;
            }
            going |= !ended[r];
            tokens[static_cast<std::ptrdiff_t>(r) * count + t] = chosen[r];
        }
        read_tokens(chosen.data());
    }
    return t;
}

// The table

bool Network::open_table() {
    table_.clear();
    Layer& layer = *layers_[0];
    const Code& code = *layer.plan.code;
    std::vector<int> made;
    auto good = [&](const Span& span) {
        return span.slot < 0 || code.slots[span.slot].kind == Kind::once || code.slots[span.slot].kind == Kind::step;
    };
    auto note = [&](const Span& span) {
        if (span.slot < 0 || code.slots[span.slot].kind != Kind::step) return;
        const int buffer = code.slots[span.slot].buffer;
        if (std::find(made.begin(), made.end(), buffer) == made.end()) made.push_back(buffer);
    };
    for (int k = 0; k < code.stage_count[0]; ++k) {
        const Stage& stage = code.stages[0][k];
        bool fits = good(stage.result) && (!stage.has_start || good(stage.start));
        for (int i = 0; i < stage.operand_count; ++i) fits &= good(stage.operands[i]);
        if (stage.kind == StageKind::multiply) note(stage.result);
        for (int i = 0; i < stage.instruction_count; ++i) {
            const Instruction& each = stage.instructions[i];
            for (int a = 0; a < each.count; ++a) fits &= good(each.arguments[a]);
            fits &= good(each.result);
            note(each.result);
        }
        if (!fits) return false;
    }
    for (int buffer : made) {
        table_.push_back({buffer, layer.width(buffer), {}});
        table_.back().numbers.resize(size(static_cast<std::size_t>(vocabulary_) * layer.width(buffer)));
    }
    sum_weights();
    fill_table();
    return true;
}

void Network::fill_table() {
    Layer& layer = *layers_[0];
    const std::vector<void*> before = layer.buffers;
    const std::size_t row = size(input_width_);
    Numbers one_hot;
    for (int first = 0; first < vocabulary_ && !table_.empty(); first += table_block) {
        const int count = std::min(table_block, vocabulary_ - first);
        const char* x = embedding_ + first * row;
        if (!embedding_) {
            one_hot.resize(table_block * row);
            std::memset(one_hot.data(), 0, table_block * row);
            for (int k = 0; k < count; ++k) set_one(one_hot.data() + k * row, first + k);
            x = one_hot.data();
        }
        layer.buffers[layer.input_buffer] = const_cast<char*>(x);
        for (const TableRows& table : table_)
            layer.buffers[table.buffer] = table.numbers.data() + first * size(table.width);
        kernels_.run(layer.here(), count, 0, 1);
    }
    layer.buffers = before;
}

}  // namespace recurra
