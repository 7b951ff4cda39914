// See kernels.h. Compiled with -DGLISTEN_ISA=base, avx2 or avx512 and the flags of that instruction set.
#include "convolution.h"
#include "gather.h"
#include "norm.h"
#include "small.h"
#include "winograd.h"

namespace glisten {
namespace GLISTEN_ISA {

// In the order of kernels.h.
const Kernels kernels = {
    spectrum,
    conv3x3,
    conv3x3_transform,
    conv3x3_multiply,
    conv3x3_weight,
    conv_pack,
    conv,
    conv_back,
    conv_patches,
    conv_multiply,
    norm_moments,
    norm_apply,
    norm_gradient_sums,
    norm_gradient,
    W,
    conv_pool,
    conv_pool_gradient,
    gather,
};

}  // namespace GLISTEN_ISA
}  // namespace glisten
