// Parses the flat numbers of a code. Only recurra/backends/native/code.py writes them.
#include "code.h"

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace recurra {

struct Code::Storage {
    std::vector<Buffer> buffers;
    std::vector<Slot> slots;
    std::vector<Stage> stages[3];
    std::vector<State> states;
    std::vector<double> constants, numbers;
    std::vector<std::vector<Instruction>> instructions;
    std::vector<std::vector<Span>> operands;
    std::vector<std::vector<Matrix>> matrices;
    int registers = 0, products = 0;
};

namespace {

using Storage = Code::Storage;

class Reader {
public:
    explicit Reader(const std::vector<std::int64_t>& flat) : flat_(flat) {}

    std::int64_t number() {
        if (place_ >= flat_.size()) throw std::invalid_argument("a code that ends early");
        return flat_[place_++];
    }
    int small() { return static_cast<int>(number()); }
    bool flag() { return number() != 0; }
    Span span() {
        Span s;
        s.slot = small();
        s.column = small();
        s.width = small();
        s.number = flag();
        return s;
    }
    bool done() const { return place_ == flat_.size(); }

private:
    const std::vector<std::int64_t>& flat_;
    std::size_t place_ = 0;
};

void read_program(Reader& in, Storage& code, Stage& stage) {
    stage.rate = static_cast<Rate>(in.small());
    stage.chunked = in.flag();
    stage.flat = in.flag();
    stage.registers = in.small();
    std::vector<Instruction> list(static_cast<std::size_t>(in.small()));
    for (Instruction& each : list) {
        each.operation = static_cast<Operation>(in.small());
        each.width = in.small();
        each.number = in.small();
        each.result = in.span();
        each.count = in.small();
        if (each.count > 3) throw std::invalid_argument("an instruction of more than three arguments");
        for (int k = 0; k < each.count; ++k) each.arguments[k] = in.span();
    }
    stage.instruction_count = static_cast<int>(list.size());
    code.instructions.push_back(std::move(list));
    stage.instructions = code.instructions.back().data();
    code.registers = std::max(code.registers, stage.registers);
}

void read_multiply(Reader& in, Storage& code, Stage& stage) {
    stage.rate = static_cast<Rate>(in.small());
    stage.result = in.span();
    stage.has_start = in.flag();
    if (stage.has_start) stage.start = in.span();
    std::vector<Span> operands(static_cast<std::size_t>(in.small()));
    for (Span& each : operands) {
        each = in.span();
        stage.depth += each.width;
    }
    stage.matrix_rows = in.small();
    std::vector<Matrix> matrices(static_cast<std::size_t>(stage.matrix_rows) * operands.size());
    for (std::size_t k = 0; k < matrices.size(); ++k) {
        Matrix& m = matrices[k];
        m.buffer = in.small();
        m.offset = static_cast<std::ptrdiff_t>(in.number());
        m.k_stride = static_cast<std::ptrdiff_t>(in.number());
        m.n_stride = static_cast<std::ptrdiff_t>(in.number());
        m.depth = in.small();
        m.columns = in.small();
        if (k % operands.size() == 0) stage.columns += m.columns;
    }
    stage.operand_count = static_cast<int>(operands.size());
    stage.product = code.products++;
    code.operands.push_back(std::move(operands));
    code.matrices.push_back(std::move(matrices));
    stage.operands = code.operands.back().data();
    stage.matrices = code.matrices.back().data();
}

Stage read_stage(Reader& in, Storage& code) {
    Stage stage = {};
    stage.kind = static_cast<StageKind>(in.small());
    switch (stage.kind) {
        case StageKind::program:
            read_program(in, code, stage);
            break;
        case StageKind::multiply:
            read_multiply(in, code, stage);
            break;
        case StageKind::outer:
            stage.rate = static_cast<Rate>(in.small());
            stage.result = in.span();
            stage.start = in.span();
            stage.buffer = in.small();
            stage.offset = static_cast<std::ptrdiff_t>(in.number());
            stage.stride = static_cast<std::ptrdiff_t>(in.number());
            stage.accumulate = in.flag();
            break;
        case StageKind::total:
            stage.rate = static_cast<Rate>(in.small());
            stage.start = in.span();
            stage.result = in.span();
            stage.accumulate = in.flag();
            break;
        default:
            throw std::invalid_argument("an unknown stage");
    }
    return stage;
}

// Whether a stage reads or writes rows of a buffer.
bool touches(const Storage& code, const Stage& stage, int buffer) {
    auto there = [&](const Span& span) { return span.slot >= 0 && code.slots[span.slot].buffer == buffer; };
    if (stage.kind != StageKind::program) {
        const bool operand = std::any_of(stage.operands, stage.operands + stage.operand_count, there);
        return operand || there(stage.result) ||
               ((stage.kind != StageKind::multiply || stage.has_start) && there(stage.start));
    }
    return std::any_of(stage.instructions, stage.instructions + stage.instruction_count, [&](const Instruction& each) {
        return there(each.result) || std::any_of(each.arguments, each.arguments + each.count, there);
    });
}

const Stage* find_windowed(const Storage& code) {
    if (code.stages[0].empty()) return nullptr;
    const Stage& last = code.stages[0].back();
    if (last.kind != StageKind::multiply || last.rate != Rate::step) return nullptr;
    const int buffer = code.slots[last.result.slot].buffer;
    if (code.buffers[buffer].given) return nullptr;
    auto elsewhere = [&](const Stage& each) { return &each != &last && touches(code, each, buffer); };
    for (int phase : {0, 2})
        if (std::any_of(code.stages[phase].begin(), code.stages[phase].end(), elsewhere)) return nullptr;
    for (const Slot& each : code.slots)
        if (each.forward || (each.kind == Kind::enter && code.slots[each.of].buffer == buffer)) return nullptr;
    return &last;
}

double work_of(const Stage& stage) {
    if (stage.kind == StageKind::multiply) return static_cast<double>(stage.depth) * stage.columns;
    if (stage.kind == StageKind::outer) return static_cast<double>(stage.result.width) * stage.start.width;
    double work = stage.result.width;
    for (int k = 0; k < stage.instruction_count; ++k) work += 8.0 * stage.instructions[k].width;
    return work;
}

void read(Reader& in, Storage& code) {
    code.buffers.resize(static_cast<std::size_t>(in.small()));
    for (Buffer& each : code.buffers) {
        each.rows = static_cast<Extent>(in.small());
        each.width = in.small();
        each.given = in.flag();
    }
    code.slots.resize(static_cast<std::size_t>(in.small()));
    for (Slot& each : code.slots) {
        each.kind = static_cast<Kind>(in.small());
        each.width = in.small();
        each.buffer = in.small();
        each.offset = in.small();
        each.of = in.small();
        each.column = in.small();
        each.forward = in.flag();
    }
    code.constants.assign(code.numbers.begin(), code.numbers.begin() + in.small());
    for (auto& stages : code.stages) {
        const int count = in.small();
        for (int k = 0; k < count; ++k) stages.push_back(read_stage(in, code));
    }
    code.states.resize(static_cast<std::size_t>(in.small()));
    for (State& each : code.states) {
        each.next = in.span();
        each.initial = in.small();
        each.final = in.small();
    }
    if (!in.done()) throw std::invalid_argument("a code that does not end where it should");
}

}  // namespace

Code::Code(const std::vector<std::int64_t>& flat, const std::vector<double>& reals) : local_width(0), work() {
    auto held = std::make_unique<Storage>();
    held->numbers = reals;
    Reader in(flat);
    read(in, *held);
    for (const Slot& each : held->slots)
        if (each.kind == Kind::enter || each.kind == Kind::local)
            local_width = std::max(local_width, each.offset + (each.width + 15) / 16 * 16);
    for (int phase = 0; phase < 3; ++phase) {
        for (const Stage& each : held->stages[phase])
            if (each.rate >= Rate::step) work[phase] += work_of(each);
        stages[phase] = held->stages[phase].data();
        stage_count[phase] = static_cast<int>(held->stages[phase].size());
    }
    buffers = held->buffers.data();
    buffer_count = static_cast<int>(held->buffers.size());
    slots = held->slots.data();
    slot_count = static_cast<int>(held->slots.size());
    states = held->states.data();
    state_count = static_cast<int>(held->states.size());
    constants = held->constants.data();
    constant_count = static_cast<int>(held->constants.size());
    numbers = held->numbers.data();
    registers = held->registers;
    product_count = held->products;
    windowed = find_windowed(*held);
    storage_ = held.release();
}

Code::~Code() { delete storage_; }

}  // namespace recurra
