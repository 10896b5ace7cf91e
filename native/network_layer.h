// A layer of a network, for the files that hold the network's functions.
#pragma once

#include "dispatch.h"
#include "network.h"

namespace recurra {

inline const StepKernels& step_kernels_of(bool doubles) { return doubles ? kernels().step_f64 : kernels().step_f32; }

struct Network::Layer {
    LayerPlan plan;
    std::vector<void*> buffers;
    std::vector<Numbers> own;                  // by buffer, those that are the network's
    std::vector<std::vector<Numbers>> states;  // [state][slot]: a ring of dilation + 1
    std::vector<int> state_buffers, final_buffers, weight_buffers, further_buffers;
    std::vector<std::vector<const char*>> weights;  // parts of each, where there are several
    std::vector<NarrowProduct> narrow;
    std::vector<Numbers> panels;
    int input_buffer = -1, output_buffer = -1, phase = 0;
    bool back = false;  // in turns: what the step before read last is still near
    Numbers input, places, local, registers;

    int slots() const { return plan.dilation + 1; }
    int width(int buffer) const { return plan.code->buffers[buffer].width; }
    StepLayer here() const {
        return {plan.code,     buffers.data(), narrow.empty() ? nullptr : narrow.data(),
                places.data(), local.data(),   registers.data(),
                back};
    }
};

}  // namespace recurra
