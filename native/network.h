// A network that is stepped: layers with their states, for sequences that join and leave while it runs.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "sample.h"
#include "step.h"

namespace recurra {

// What a buffer of a layer's code is; `index` numbers states, weights and further inputs.
enum class Role : int { own, input, further, state, weight, output, final };

struct BufferRole {
    Role role;
    int index;
};

// Columns that a layer's input, or the network's output, takes from a value: 0 is the network's input, 1 + n the output
// of layer n.
struct Piece {
    int value, width;
};

struct LayerPlan {
    const Code* code;
    std::vector<BufferRole> roles;  // by buffer
    std::vector<Piece> input;       // side by side
    bool residual;                  // the input is added to the output
    int dilation;
};

// Memory, 64-byte aligned, zeros at first; what is in it stays when it grows. It never shrinks.
class Numbers {
public:
    void resize(std::size_t bytes);
    char* data() const { return start_.get(); }

private:
    struct Free {
        void operator()(char* p) const;
    };
    std::unique_ptr<char, Free> start_;
    std::size_t size_ = 0;
};

class Network {
public:
    // `vocabulary` is 0 for a network that reads rows of numbers, not tokens.
    Network(bool doubles, std::vector<LayerPlan> layers, std::vector<Piece> output, int input_width, int vocabulary,
            Narrow narrow);
    ~Network();

    // A weight is the sum of the tensors at these addresses.
    void set_weight(int layer, int index, const std::vector<std::uintptr_t>& parts);
    // Rows of the embedding, [vocabulary, input_width]; 0: one-hot rows.
    void set_embedding(std::uintptr_t table) { embedding_ = reinterpret_cast<const char*>(table); }
    void convert();  // makes the rounded copies of all matrices again

    int rows() const { return rows_; }
    void join(int count);
    void leave(const std::vector<int>& rows);  // in ascending order
    void reset(const std::vector<int>& rows);
    // A state of a layer for sequences [first, first + count): [dilation, count, width].
    void read_state(int layer, int state, int first, int count, std::uintptr_t to) const;
    void write_state(int layer, int state, int first, int count, std::uintptr_t from);

    // One step: input [rows, input_width], further inputs by layer, in the code's order; output [rows, width].
    void step(int rows, std::uintptr_t input, const std::vector<std::uintptr_t>& further, std::uintptr_t output);
    // The same with states that are the caller's, [rows, width] by layer and state, old ones and new ones; those that
    // the network holds stay as they are. Not for dilated layers.
    void step_apart(int rows, std::uintptr_t input, const std::vector<std::uintptr_t>& initial,
                    const std::vector<std::uintptr_t>& final, std::uintptr_t output);
    // Tokens [steps][rows]; log-probabilities [rows, vocabulary] after the last, or nothing for 0.
    void read(int rows, int steps, std::uintptr_t tokens, std::uintptr_t log_probs);
    void seed(std::uint64_t seed);
    // Whether each row's next token can be told: it has read one since it came, or was reset.
    bool ready() const;
    // Computes what of the first layer depends on the token alone, for all tokens; false where that cannot be parted.
    bool open_table();
    void close_table() { table_.clear(); }
    // Draws tokens [rows][count]; fewer where all rows have drawn `stop`. Gives how many.
    int generate(int rows, int count, const Choice& choice, std::uintptr_t tokens);

    std::mutex& busy() { return busy_; }

private:
    struct Layer;
    struct TableRows {
        int buffer, width;
        Numbers numbers;
    };

    std::size_t size(std::size_t numbers) const { return numbers * (doubles_ ? 8 : 4); }
    void check_rows(int rows) const;
    void grow(int rows);
    void open_layer(Layer& layer);
    void open_products(Layer& layer);
    template <class F>
    void each_state(F f);
    char* slot(const Layer& layer, int state, int number) const;
    void sum_weights();
    void run_layers(const char* input, int first_phase, char* output);
    void run_layer(Layer& layer, const char* input, int first_phase);
    void point_states(Layer& layer);
    void assemble(const std::vector<Piece>& pieces, const char* input, char* to) const;
    const char* value(int number, const char* input) const;
    void add_rows(char* to, const char* from, std::size_t numbers) const;
    void read_tokens(const std::int64_t* tokens);
    void set_one(char* row, std::int64_t column) const;
    const char* logits() const;
    void fill_table();

    const bool doubles_;
    const StepKernels& kernels_;
    std::vector<std::unique_ptr<Layer>> layers_;
    const std::vector<Piece> output_;
    const int input_width_, vocabulary_;
    const Narrow narrow_;
    Chooser chooser_;
    int rows_ = 0, capacity_ = 0;
    const char* embedding_ = nullptr;
    Numbers embedded_;  // [rows, input_width]
    std::vector<char> ready_;
    std::vector<Generator> generators_;
    std::vector<TableRows> table_;
    std::mutex busy_;
};

}  // namespace recurra
