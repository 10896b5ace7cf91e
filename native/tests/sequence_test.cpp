// Whole plans, forward and gradient, as Python lowers them (codes.txt, written by tests/native/make_codes.py), over
// random ragged batches. Every tensor is an allocation of its exact size, so that a sanitizer sees each read beyond it.
// The gradient is compared with differences of the forward pass, float with double, several threads with one.
#include "sequence.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using recurra::Code;

std::mt19937 generator(20240612);
int failures = 0;

int between(int first, int last) { return std::uniform_int_distribution<int>(first, last)(generator); }

struct Plan {
    std::vector<std::string> names;  // of each buffer; "-" where a run makes its own
    std::unique_ptr<Code> code;
};

struct Pair {
    std::string title;
    Plan forward, gradient;
};

template <class T>
T read(std::istream& in) {
    T value;
    if (!(in >> value)) {
        std::printf("codes.txt ends early\n");
        std::exit(1);
    }
    return value;
}

Plan read_plan(std::istream& in) {
    Plan plan;
    plan.names.resize(read<std::size_t>(in));
    for (std::string& name : plan.names) name = read<std::string>(in);
    std::vector<std::int64_t> flat(read<std::size_t>(in));
    for (std::int64_t& number : flat) number = read<std::int64_t>(in);
    std::vector<double> numbers(read<std::size_t>(in));
    for (double& number : numbers) number = std::strtod(read<std::string>(in).c_str(), nullptr);
    plan.code = std::make_unique<Code>(flat, numbers);
    return plan;
}

std::vector<Pair> read_codes() {
    std::string path = __FILE__;
    std::ifstream in(path.substr(0, path.rfind('/') + 1) + "codes.txt");
    std::vector<Pair> pairs(read<std::size_t>(in));
    for (Pair& pair : pairs) {
        pair.title = read<std::string>(in);
        pair.forward = read_plan(in);
        pair.gradient = read_plan(in);
    }
    return pairs;
}

// A batch: lengths longest first, with 0 and 1 among them, in either direction.
struct Layout {
    Layout() {
        const int batch = between(0, 3) ? between(1, 6) : between(7, 40), steps = between(1, 7);
        std::vector<int> lengths(batch, steps);
        if (between(0, 2))
            for (int& each : lengths) each = between(0, steps);
        for (int t = 0; t < steps; ++t) {
            std::int64_t rows = 0;
            for (int each : lengths) rows += each > t;
            if (rows) active.push_back(rows);
        }
        offset.push_back(0);
        for (std::int64_t rows : active) offset.push_back(offset.back() + rows);
        batch_of = batch;
        reverse = between(0, 1);
    }
    recurra::Batch rows() const { return {static_cast<int>(active.size()), batch_of, active.data(), offset.data()}; }

    std::vector<std::int64_t> active, offset;
    int batch_of;
    bool reverse;
};

template <class T>
using Tensors = std::map<std::string, std::vector<T>>;

bool begins(const std::string& name, const char* with) { return name.rfind(with, 0) == 0; }

// Of a buffer of a plan, as a tensor of its exact size.
std::size_t size_of(const Code& code, std::size_t k, const Layout& layout) {
    return static_cast<std::size_t>(recurra::rows_of(layout.rows(), code.buffers[k].rows)) * code.buffers[k].width;
}

// What a plan reads is drawn where it is not there yet; what it writes begins as NaN, or as zeros (+).
template <class T>
void prepare(const Plan& plan, const Layout& layout, bool gradient, Tensors<T>& tensors) {
    std::normal_distribution<double> normal;
    for (std::size_t k = 1; k < plan.names.size(); ++k) {
        const std::string& name = plan.names[k];
        if (name == "-" || tensors.count(name)) continue;
        const bool zeros = name[0] == '+';
        const bool written = zeros || name == "output" || begins(name, "final/") || begins(name, "saved/") ||
                             (gradient && begins(name, "gradient/") && name != "gradient/output");
        std::vector<T>& tensor = tensors[name];
        tensor.assign(size_of(*plan.code, k, layout), zeros ? T(0) : T(std::nan("")));
        if (written) continue;
        for (T& number : tensor) number = static_cast<T>(static_cast<float>(0.4 * normal(generator)));
    }
}

template <class T>
void run(const Plan& plan, const Layout& layout, bool reverse, bool forward_reverse, Tensors<T>& tensors) {
    std::vector<void*> pointers;
    for (const std::string& name : plan.names) pointers.push_back(name == "-" ? nullptr : tensors.at(name).data());
    const recurra::Run job = {plan.code.get(), pointers.data(), layout.rows(), reverse, forward_reverse};
    recurra::run_codes<T>(&job, 1);
}

// The forward pass over what is read, drawing what is missing.
template <class T>
Tensors<T> run_forward(const Plan& plan, const Layout& layout, Tensors<T> tensors) {
    for (auto it = tensors.begin(); it != tensors.end();)
        it = it->first == "output" || begins(it->first, "final/") || begins(it->first, "saved/") ? tensors.erase(it)
                                                                                                 : ++it;
    prepare(plan, layout, false, tensors);
    run(plan, layout, layout.reverse, false, tensors);
    return tensors;
}

// The gradient pass: what it calls before/ is what the forward pass calls by the rest; its states are its own.
template <class T>
Tensors<T> run_gradient(const Plan& plan, const Layout& layout, const Tensors<T>& made, Tensors<T> arriving) {
    for (const auto& [name, tensor] : made) {
        if (begins(name, "state/"))
            arriving["before/" + name] = tensor;
        else if (!begins(name, "final/"))
            arriving[name] = tensor;
    }
    prepare(plan, layout, true, arriving);
    run(plan, layout, !layout.reverse, layout.reverse, arriving);
    return arriving;
}

template <class T>
double dot(const std::vector<T>& a, const std::vector<T>& b) {
    double sum = 0;
    for (std::size_t k = 0; k < a.size(); ++k) sum += static_cast<double>(a[k]) * static_cast<double>(b[k]);
    return sum;
}

void fail(const Pair& pair, const Layout& layout, const char* what, const std::string& name, double got,
          double expected) {
    if (++failures < 20)
        std::printf("%s, %d sequences, %zu steps%s: %s of %s: got %.12g, expected %.12g\n", pair.title.c_str(),
                    layout.batch_of, layout.active.size(), layout.reverse ? ", reversed" : "", what, name.c_str(), got,
                    expected);
}

// Where the gradient of a tensor of the forward pass lies among those of the gradient pass; empty where there is none.
std::string gradient_of(const std::string& name, const Tensors<double>& gradients) {
    if (begins(name, "state/")) return "final/" + name.substr(6);
    for (const char* sign : {"", "+"})
        if (gradients.count(sign + ("gradient/" + name))) return sign + ("gradient/" + name);
    return "";
}

// Sum of the results, weighted with the gradients that arrive.
double loss(const Tensors<double>& made, const Tensors<double>& arriving) {
    double sum = 0;
    for (const auto& [name, tensor] : made) {
        if (name == "output" && arriving.count("gradient/output")) sum += dot(tensor, arriving.at("gradient/output"));
        if (begins(name, "final/")) sum += dot(tensor, arriving.at("state/" + name.substr(6)));
    }
    return sum;
}

// The change of the loss in a random direction, tensor by tensor, from a difference and from the gradient.
void check_differences(const Pair& pair, const Layout& layout, const Tensors<double>& made,
                       const Tensors<double>& gradients) {
    constexpr double step = 1e-6;
    std::normal_distribution<double> normal;
    for (const auto& [name, tensor] : made) {
        if (!begins(name, "input/") && !begins(name, "state/") && !begins(name, "weight/")) continue;
        std::vector<double> direction(tensor.size());
        for (double& number : direction) number = normal(generator);
        double losses[2];
        for (int side = 0; side < 2; ++side) {
            Tensors<double> moved = made;
            for (std::size_t k = 0; k < tensor.size(); ++k) moved[name][k] += (side ? step : -step) * direction[k];
            losses[side] = loss(run_forward(pair.forward, layout, moved), gradients);
        }
        const double difference = (losses[1] - losses[0]) / (2 * step);
        const std::string found = gradient_of(name, gradients);
        const double derivative = found.empty() ? 0 : dot(gradients.at(found), direction);
        const double scale = std::fabs(difference) + std::sqrt(dot(direction, direction)) + std::fabs(losses[0]);
        if (!(std::fabs(difference - derivative) <= 2e-7 * scale))
            fail(pair, layout, "the derivative", name, derivative, difference);
    }
}

template <class T>
void check_equal(const Pair& pair, const Layout& layout, const char* what, const Tensors<T>& got,
                 const Tensors<double>& expected, double tolerance) {
    for (const auto& [name, tensor] : expected) {
        double largest = 0.1;
        for (double number : tensor) largest = std::fmax(largest, std::fabs(number));
        for (std::size_t k = 0; k < tensor.size(); ++k) {
            const double number = static_cast<double>(got.at(name)[k]);
            if (std::fabs(number - tensor[k]) <= tolerance * largest) continue;
            fail(pair, layout, what, name, number, tensor[k]);
            break;
        }
    }
}

template <class T>
Tensors<T> as(const Tensors<double>& tensors) {
    Tensors<T> found;
    for (const auto& [name, tensor] : tensors) found[name] = std::vector<T>(tensor.begin(), tensor.end());
    return found;
}

// Those that a caller gives, without what passes make.
Tensors<double> given(const Tensors<double>& tensors) {
    Tensors<double> found;
    for (const auto& [name, tensor] : tensors)
        if (name == "gradient/output" || begins(name, "state/")) found[name] = tensor;
    return found;
}

void check(const Pair& pair) {
    const Layout layout;
    recurra::set_threads(1);
    const Tensors<double> made = run_forward<double>(pair.forward, layout, {});
    const Tensors<double> gradients = run_gradient<double>(pair.gradient, layout, made, {});
    check_differences(pair, layout, made, gradients);
    recurra::set_threads(3);
    const Tensors<double> again = run_forward<double>(pair.forward, layout, made);
    check_equal(pair, layout, "three threads", again, made, 0);
    check_equal(pair, layout, "three threads", run_gradient(pair.gradient, layout, again, given(gradients)), gradients,
                0);
    if (begins(pair.title, "random")) return;  // their minima and maxima may take another side in float
    const Tensors<float> floats = run_forward<float>(pair.forward, layout, as<float>(made));
    check_equal(pair, layout, "float", floats, made, 2e-4);
    const Tensors<float> back = run_gradient<float>(pair.gradient, layout, floats, as<float>(given(gradients)));
    check_equal(pair, layout, "float", back, gradients, 1e-3);
}

}  // namespace

int main() {
    for (const Pair& pair : read_codes())
        for (int round = 0; round < 12; ++round) check(pair);
    std::printf("%s: %d failures\n", RECURRA_NAME, failures);
    return failures != 0;
}
