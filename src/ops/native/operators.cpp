// Glisten's own operators as functions of tensors with gradients, behind a C interface (src/ops/ffi.rs).
//
// Each has a fast path for the CPU, in kernels.cpp, and takes libtorch's own operators elsewhere.
#include "kernels.h"

#include <ATen/Parallel.h>
#include <ATen/TensorUtils.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/add.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace glisten {
namespace {

// What the operators compute with on this CPU, from the least to the most. Each takes in those before it.
enum class Path { generic, avx2, avx512, avx512_bf16 };
constexpr const char* PATHS[] = {"generic", "avx2", "avx512", "avx512-bf16"};

Path best_path() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq"))
    return __builtin_cpu_supports("avx512bf16") ? Path::avx512_bf16 : Path::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Path::avx2;
#endif
  return Path::generic;
}

// The path that GLISTEN_CPU names, else the best one.
Path chosen_path() {
  const Path best = best_path();
  const char* wanted = std::getenv("GLISTEN_CPU");
  if (wanted == nullptr || *wanted == 0) return best;
  std::string known;
  for (int at = 0; at <= static_cast<int>(best); at++) {
    if (std::strcmp(wanted, PATHS[at]) == 0) return static_cast<Path>(at);
    known += (at == 0 ? "" : ", ") + std::string(PATHS[at]);
  }
  throw std::runtime_error("GLISTEN_CPU: expected a path that this CPU has (" + known + "), got '" + wanted + "'");
}

// Throws at every call where the variable names no path of this CPU.
Path path() {
  static const Path chosen = chosen_path();
  return chosen;
}

const Kernels& kernels() {
#if defined(__x86_64__)
  if (path() >= Path::avx512) return avx512::kernels;
  if (path() == Path::avx2) return avx2::kernels;
#endif
  return base::kernels;
}

// Whether the CPU multiplies bf16 itself. Where it does not, libtorch's operators on bf16 are slower by tens of times.
bool cpu_multiplies_bf16() { return path() == Path::avx512_bf16; }

// Whether the CPU has AMX for bf16 (leaf 7 of CPUID), and the system keeps its tiles (XCR0).
bool has_amx() {
#if defined(__x86_64__)
  unsigned a, b, c, d;
  const bool saves = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_OSXSAVE) != 0;
  const bool has = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1) != 0 && (d >> 24 & 1) != 0;
  if (!saves || !has) return false;
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low >> 17 & 3) == 3;
#else
  return false;
#endif
}

// Whether libtorch's convolutions in bf16 are faster than those here, which store bf16 and multiply fp32. With AMX, whose products of
// tiles are many times as fast, they are. AVX-512's products of pairs are twice as fast as fp32's at best (on Intel's cores they
// are no faster), while Winograd's algorithm has a quarter of the products; and it adds up in fp32.
bool convolves_bf16_by_libtorch() {
  static const bool amx = has_amx();
  return cpu_multiplies_bf16() && amx;
}

// In a step of bf16 on a CPU: activations are stored so.
thread_local bool stores_bf16 = false;

// f(from, to) over parts of [0, n), on libtorch's threads. Each part is worth a thread.
template <typename F>
void spread(int64_t n, int64_t grain, const F& f) {
  if (n > 0) at::parallel_for(0, n, grain, f);
}

Element element(const Tensor& t) { return t.scalar_type() == at::kBFloat16 ? Element::bf16 : Element::f32; }

bool is_plain(const Tensor& t) {
  return t.device().is_cpu() && (t.scalar_type() == at::kFloat || t.scalar_type() == at::kBFloat16);
}

Tensor channels_last(const Tensor& t) { return t.contiguous(at::MemoryFormat::ChannelsLast); }

Tensor empty_images(const Tensor& like, int64_t channels) {
  return at::empty({like.size(0), channels, like.size(2), like.size(3)}, like.options(), at::MemoryFormat::ChannelsLast);
}

// ---- 3 x 3 convolution ----

Conv3x3 problem(const Tensor& x, const Tensor& weight) {
  return {x.size(0), x.size(2), x.size(3), x.size(1), weight.size(0)};
}

bool fits_conv3x3(const Tensor& x, const Tensor& weight, int64_t stride, int64_t padding) {
  return is_plain(x) && x.dim() == 4 && weight.dim() == 4 && weight.scalar_type() == at::kFloat && weight.size(2) == 3 &&
         weight.size(3) == 3 && stride == 1 && padding == 1 && x.size(1) == weight.size(1) && x.size(0) > 0 &&
         x.size(2) % 4 == 0 && x.size(3) % 4 == 0 && x.size(1) % 32 == 0 && weight.size(0) % 32 == 0;
}

Tensor convolve(const Conv3x3& c, const Tensor& x, const Tensor& weight, bool back) {
  const Kernels& k = kernels();
  Tensor spectrum = at::empty({36 * c.in_channels * c.out_channels}, weight.options());
  float* values = spectrum.data_ptr<float>();
  spread((back ? c.in_channels : c.out_channels) / 32, 1, [&](int64_t from, int64_t to) {
    k.spectrum(c, weight.const_data_ptr<float>(), back, values, from, to);
  });
  const Conv3x3 run = back ? Conv3x3{c.n, c.height, c.width, c.out_channels, c.in_channels} : c;
  Tensor y = empty_images(x, run.out_channels);
  spread(c.tiles(), 12, [&](int64_t from, int64_t to) {
    k.conv3x3(run, element(x), x.const_data_ptr(), values, y.data_ptr(), from, to);
  });
  return y;
}

Tensor weight_gradient(const Conv3x3& c, const Tensor& x, const Tensor& dy, const Tensor& weight) {
  const Kernels& k = kernels();
  // The transformed tiles of a chunk should stay in the cache that all cores share, and there should be many to one product.
  const int64_t chunk = std::min(c.tiles(), std::max<int64_t>(128, 24576 / (c.in_channels + c.out_channels)));
  Tensor x_tiles = at::empty({36 * chunk * c.in_channels}, weight.options());
  Tensor dy_tiles = at::empty({36 * chunk * c.out_channels}, weight.options());
  Tensor gradient = at::empty({36 * c.in_channels * c.out_channels}, weight.options());
  for (int64_t first = 0; first < c.tiles(); first += chunk) {
    const int64_t n = std::min(chunk, c.tiles() - first);
    spread(n, 8, [&](int64_t from, int64_t to) {
      k.conv3x3_transform(c, element(x), x.const_data_ptr(), dy.const_data_ptr(), first, n, x_tiles.data_ptr<float>(),
                          dy_tiles.data_ptr<float>(), from, to);
    });
    spread(36, 1, [&](int64_t from, int64_t to) {
      k.conv3x3_multiply(c, n, x_tiles.data_ptr<float>(), dy_tiles.data_ptr<float>(), first > 0, gradient.data_ptr<float>(),
                         from, to);
    });
  }
  Tensor dw = at::empty({c.out_channels, c.in_channels, 3, 3}, weight.options(), at::MemoryFormat::Contiguous);
  spread(c.out_channels / 16, 1, [&](int64_t from, int64_t to) {
    k.conv3x3_weight(c, gradient.data_ptr<float>(), dw.data_ptr<float>(), from, to);
  });
  return dw;
}

struct Conv3x3Function : Function<Conv3x3Function> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight) {
    Tensor images = channels_last(x), kernel = weight.contiguous();
    context->save_for_backward({images, kernel});
    return convolve(problem(images, kernel), images, kernel, false);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    const Conv3x3 c = problem(x, weight);
    Tensor dy = channels_last(gradients[0].to(x.scalar_type()));
    Tensor dx, dw;
    if (context->needs_input_grad(0)) dx = convolve(c, dy, weight, true);
    if (context->needs_input_grad(1)) dw = weight_gradient(c, x, dy, weight);
    return {dx, dw};
  }
};

// ---- Other convolutions ----

Conv problem(const Tensor& x, const Tensor& weight, int64_t stride, int64_t padding) {
  return {x.size(0), x.size(2), x.size(3), x.size(1), weight.size(0), weight.size(2), stride, padding};
}

bool fits_conv(const Tensor& x, const Tensor& weight, int64_t stride, int64_t padding) {
  if (!(is_plain(x) && x.dim() == 4 && weight.dim() == 4 && weight.scalar_type() == at::kFloat &&
        weight.size(2) == weight.size(3) && stride > 0 && padding >= 0 && x.size(1) == weight.size(1) && x.size(0) > 0))
    return false;
  const Conv c = problem(x, weight, stride, padding);
  // The rows of a product that are held in registers are 12 at most.
  return c.height + 2 * c.padding >= c.side && c.width + 2 * c.padding >= c.side && c.out_channels % 32 == 0 &&
         c.depth() >= 12 && (c.in_channels % 32 == 0 || !x.requires_grad());
}

// Ranges of the depth of a product, worth a thread each, are multiples of this.
constexpr int64_t DEPTHS = 48;

struct ConvFunction : Function<ConvFunction> {
  static Tensor pack(const Conv& c, const Tensor& weight, bool back) {
    Tensor packed = at::empty({weight.numel()}, weight.options());
    spread((back ? c.depth() : c.out_channels) / 32, 1, [&](int64_t from, int64_t to) {
      kernels().conv_pack(c, weight.const_data_ptr<float>(), back, packed.data_ptr<float>(), from, to);
    });
    return packed;
  }

  static Tensor forward(AutogradContext* context, const Tensor& x_in, const Tensor& weight_in, int64_t stride,
                        int64_t padding) {
    Tensor x = channels_last(x_in), weight = weight_in.contiguous();
    const Conv c = problem(x, weight, stride, padding);
    Tensor packed = pack(c, weight, false);
    Tensor y = at::empty({c.n, c.out_channels, c.out_height(), c.out_width()}, x.options(), at::MemoryFormat::ChannelsLast);
    spread(c.rows(), 48, [&](int64_t from, int64_t to) {
      kernels().conv(c, element(x), x.const_data_ptr(), packed.data_ptr<float>(), y.data_ptr(), from, to);
    });
    context->save_for_backward({x, weight});
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] = padding;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Kernels& k = kernels();
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    const Conv c = problem(x, weight, context->saved_data["stride"].toInt(), context->saved_data["padding"].toInt());
    Tensor dy = channels_last(gradients[0].to(x.scalar_type())), dx, dw;
    if (context->needs_input_grad(0)) {
      Tensor packed = pack(c, weight, true);
      dx = empty_images(x, c.in_channels);
      spread(c.n, 1, [&](int64_t from, int64_t to) {
        k.conv_back(c, element(x), dy.const_data_ptr(), packed.data_ptr<float>(), dx.data_ptr(), from, to);
      });
    }
    if (context->needs_input_grad(1)) {
      const int64_t depth = c.depth(), chunk = std::min(c.rows(), std::max<int64_t>(256, 393216 / (depth + c.out_channels)));
      Tensor patches = at::empty({chunk, depth}, weight.options()), gradient = at::empty({chunk, c.out_channels}, weight.options());
      Tensor sums = at::empty({depth, c.out_channels}, weight.options());
      for (int64_t first = 0; first < c.rows(); first += chunk) {
        const int64_t n = std::min(chunk, c.rows() - first);
        spread(n, 32, [&](int64_t from, int64_t to) {
          k.conv_patches(c, element(x), x.const_data_ptr(), dy.const_data_ptr(), first, patches.data_ptr<float>(),
                         gradient.data_ptr<float>(), from, to);
        });
        spread((depth + DEPTHS - 1) / DEPTHS, 1, [&](int64_t from, int64_t to) {
          k.conv_multiply(c, n, patches.data_ptr<float>(), gradient.data_ptr<float>(), first > 0, sums.data_ptr<float>(),
                          from * DEPTHS, std::min(depth, to * DEPTHS));
        });
      }
      dw = sums.view({c.side * c.side, c.in_channels, c.out_channels}).permute({2, 1, 0}).contiguous().view(weight.sizes());
    }
    return {dx, dw, Tensor(), Tensor()};
  }
};

Tensor conv2d(const Tensor& inputs, const Tensor& weight, int64_t stride, int64_t padding, bool fused) {
  const bool half = inputs.device().is_cpu() && stores_bf16;
  if (half && convolves_bf16_by_libtorch()) return at::conv2d(inputs, weight, {}, stride, padding);
  const bool is_3x3 = fused && fits_conv3x3(inputs, weight, stride, padding);
  if (is_3x3 || (fused && fits_conv(inputs, weight, stride, padding))) {
    const Tensor x = half ? inputs.to(at::kBFloat16) : inputs;
    return is_3x3 ? Conv3x3Function::apply(x, weight) : ConvFunction::apply(x, weight, stride, padding);
  }
  // Where the CPU multiplies bf16, autocast does here what has to be done.
  if (!half || cpu_multiplies_bf16()) return at::conv2d(inputs, weight, {}, stride, padding);
  return at::conv2d(inputs.to(at::kFloat), weight, {}, stride, padding).to(at::kBFloat16);
}

// ---- Batch normalisation ----

bool fits_norm(const Tensor& x, const Tensor& beside, bool train) {
  return is_plain(x) && x.dim() == 4 && x.numel() > 0 && x.size(1) % 16 == 0 && x.numel() / x.size(1) > 1 &&
         (!beside.defined() || (is_plain(beside) && beside.sizes() == x.sizes())) &&
         (train || !at::GradMode::is_enabled());
}

struct NormFunction : Function<NormFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& x_in, const std::optional<Tensor>& beside_in, const Tensor& weight,
                        const Tensor& bias, const Tensor& running_mean, const Tensor& running_var, bool train, double momentum,
                        double epsilon, bool relu) {
    const Kernels& k = kernels();
    Tensor x = channels_last(x_in), beside;
    if (beside_in) beside = channels_last(beside_in->to(x.scalar_type()));
    const int64_t channels = x.size(1);
    const Norm n{x.numel() / channels, channels};
    Tensor mean = at::empty({channels}, weight.options()), inverse = at::empty({channels}, weight.options());
    if (train) {
      const int64_t chunks = (n.rows + NORM_CHUNK - 1) / NORM_CHUNK;
      Tensor moments = at::empty({chunks, 3, channels}, weight.options());
      const float* m = moments.data_ptr<float>();
      spread(chunks, 1, [&](int64_t from, int64_t to) {
        k.norm_moments(n, element(x), x.const_data_ptr(), moments.data_ptr<float>(), from, to);
      });
      float *means = running_mean.data_ptr<float>(), *vars = running_var.data_ptr<float>();
      for (int64_t ch = 0; ch < channels; ch++) {
        // Chunk by chunk, by the rule of Chan, Golub and LeVeque.
        double count = 0, average = 0, squares = 0;
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
          const double rows = std::min(NORM_CHUNK, n.rows - chunk * NORM_CHUNK);
          const float* of = m + chunk * 3 * channels + ch;
          const double sum = of[channels], here = of[0] + sum / rows, spread_here = of[2 * channels] - sum * sum / rows;
          const double step = here - average;
          squares += spread_here + step * step * count * rows / (count + rows);
          count += rows;
          average += step * rows / count;
        }
        const double variance = std::max(0.0, squares / count);
        mean.data_ptr<float>()[ch] = static_cast<float>(average);
        inverse.data_ptr<float>()[ch] = static_cast<float>(1.0 / std::sqrt(variance + epsilon));
        means[ch] = static_cast<float>((1 - momentum) * means[ch] + momentum * average);
        vars[ch] = static_cast<float>((1 - momentum) * vars[ch] + momentum * squares / (count - 1));
      }
    } else {
      for (int64_t ch = 0; ch < channels; ch++) {
        mean.data_ptr<float>()[ch] = running_mean.const_data_ptr<float>()[ch];
        inverse.data_ptr<float>()[ch] =
            static_cast<float>(1.0 / std::sqrt(running_var.const_data_ptr<float>()[ch] + epsilon));
      }
    }
    Tensor scale = at::empty({channels}, weight.options()), shift = at::empty({channels}, weight.options());
    for (int64_t ch = 0; ch < channels; ch++) {
      const float a = weight.const_data_ptr<float>()[ch] * inverse.const_data_ptr<float>()[ch];
      scale.data_ptr<float>()[ch] = a;
      shift.data_ptr<float>()[ch] = bias.const_data_ptr<float>()[ch] - a * mean.const_data_ptr<float>()[ch];
    }
    Tensor y = empty_images(x, channels);
    const void* added = beside.defined() ? beside.const_data_ptr() : nullptr;
    spread(n.rows, 1 + 16384 / channels, [&](int64_t from, int64_t to) {
      k.norm_apply(n, element(x), x.const_data_ptr(), scale.data_ptr<float>(), shift.data_ptr<float>(), added, relu,
                   y.data_ptr(), from, to);
    });
    context->save_for_backward({x, relu ? y : Tensor(), weight, mean, inverse});
    context->saved_data["beside"] = beside_in.has_value();
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Kernels& k = kernels();
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &y = saved[1], &weight = saved[2], &mean = saved[3], &inverse = saved[4];
    const bool has_beside = context->saved_data["beside"].toBool();
    Tensor dy = channels_last(gradients[0].to(x.scalar_type()));
    const int64_t channels = x.size(1);
    const Norm n{x.numel() / channels, channels};
    const int64_t chunks = (n.rows + NORM_CHUNK - 1) / NORM_CHUNK;
    const void* mask = y.defined() ? y.const_data_ptr() : nullptr;
    Tensor sums = at::empty({chunks, 2, channels}, weight.options());
    spread(chunks, 1, [&](int64_t from, int64_t to) {
      k.norm_gradient_sums(n, element(x), x.const_data_ptr(), mask, dy.const_data_ptr(), mean.const_data_ptr<float>(),
                           sums.data_ptr<float>(), from, to);
    });
    Tensor factors = at::empty({3, channels}, weight.options());
    Tensor d_weight = at::empty({channels}, weight.options()), d_bias = at::empty({channels}, weight.options());
    for (int64_t ch = 0; ch < channels; ch++) {
      double sum = 0, product = 0;
      for (int64_t chunk = 0; chunk < chunks; chunk++) {
        sum += sums.const_data_ptr<float>()[chunk * 2 * channels + ch];
        product += sums.const_data_ptr<float>()[(chunk * 2 + 1) * channels + ch];
      }
      const double inv = inverse.const_data_ptr<float>()[ch], rows = static_cast<double>(n.rows);
      const double a = weight.const_data_ptr<float>()[ch] * inv, b = -a * inv * inv * product / rows;
      float* f = factors.data_ptr<float>();
      f[ch] = static_cast<float>(a);
      f[channels + ch] = static_cast<float>(b);
      f[2 * channels + ch] = static_cast<float>(-a * sum / rows - b * mean.const_data_ptr<float>()[ch]);
      d_weight.data_ptr<float>()[ch] = static_cast<float>(product * inv);
      d_bias.data_ptr<float>()[ch] = static_cast<float>(sum);
    }
    Tensor dx = empty_images(x, channels), dz;
    // Without a ReLU the gradient of what stands beside is that of the output.
    if (has_beside) dz = mask ? empty_images(x, channels) : dy;
    void* kept = has_beside && mask ? dz.data_ptr() : nullptr;
    const float* f = factors.const_data_ptr<float>();
    spread(n.rows, 1 + 16384 / channels, [&](int64_t from, int64_t to) {
      k.norm_gradient(n, element(x), x.const_data_ptr(), mask, dy.const_data_ptr(), f, f + channels, f + 2 * channels,
                      dx.data_ptr(), kept, from, to);
    });
    return {dx, dz, d_weight, d_bias, Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

Tensor batch_norm(const Tensor& x, const Tensor& beside, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, bool train, double momentum, double epsilon, bool relu, bool fused) {
  if (fused && fits_norm(x, beside, train))
    return NormFunction::apply(x, beside.defined() ? std::optional<Tensor>(beside) : std::nullopt, weight, bias, running_mean, running_var, train, momentum, epsilon, relu);
  Tensor y = at::batch_norm(x, weight, bias, running_mean, running_var, train, momentum, epsilon, true);
  if (beside.defined()) y = at::add(y, beside);
  return relu ? at::relu(y) : y;
}

// ---- Small convolutions with pooling ----

constexpr int64_t BLOCKS_IN_GROUP = 4;

struct ConvPoolFunction : Function<ConvPoolFunction> {
  static ConvPool problem(const Tensor& x, const Tensor& weight, int64_t padding) {
    return {x.size(0), x.size(1), x.size(2), x.size(3), weight.size(0), weight.size(2), padding};
  }

  static Tensor forward(AutogradContext* context, const Tensor& x_in, const Tensor& weight_in, const Tensor& bias_in,
                        int64_t padding) {
    const Kernels& k = kernels();
    Tensor x = x_in.contiguous(), weight = weight_in.contiguous(), bias = bias_in.contiguous();
    const ConvPool c = problem(x, weight, padding);
    const int64_t blocks = (c.n + k.block - 1) / k.block;
    Tensor y = at::empty({c.n, c.out_channels, c.pooled_height(), c.pooled_width()}, x.options(),
                         at::MemoryFormat::Contiguous);
    Tensor chosen = at::empty({blocks, c.out_channels, c.pooled_height(), c.pooled_width(), k.block},
                              x.options().dtype(at::kByte));
    spread(blocks, 1, [&](int64_t from, int64_t to) {
      k.conv_pool(c, x.const_data_ptr<float>(), weight.const_data_ptr<float>(), bias.const_data_ptr<float>(),
                  y.data_ptr<float>(), chosen.data_ptr<uint8_t>(), from, to);
    });
    context->save_for_backward({x, weight, chosen});
    context->saved_data["padding"] = padding;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Kernels& k = kernels();
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &chosen = saved[2];
    const ConvPool c = problem(x, weight, context->saved_data["padding"].toInt());
    Tensor dy = gradients[0].contiguous(), dx;
    if (context->needs_input_grad(0)) dx = at::empty(x.sizes(), x.options(), at::MemoryFormat::Contiguous);
    const int64_t blocks = (c.n + k.block - 1) / k.block, groups = (blocks + BLOCKS_IN_GROUP - 1) / BLOCKS_IN_GROUP;
    const int64_t n_weights = weight.numel(), n_sums = n_weights + c.out_channels;
    Tensor sums = at::zeros({groups, n_sums, k.block}, x.options());
    spread(groups, 1, [&](int64_t from, int64_t to) {
      for (int64_t group = from; group < to; group++)
        k.conv_pool_gradient(c, x.const_data_ptr<float>(), weight.const_data_ptr<float>(), chosen.const_data_ptr<uint8_t>(),
                             dy.const_data_ptr<float>(), dx.defined() ? dx.data_ptr<float>() : nullptr,
                             sums.data_ptr<float>() + group * n_sums * k.block, group * BLOCKS_IN_GROUP,
                             std::min(blocks, (group + 1) * BLOCKS_IN_GROUP));
    });
    Tensor dw = at::empty(weight.sizes(), weight.options(), at::MemoryFormat::Contiguous);
    Tensor db = at::empty({c.out_channels}, weight.options());
    const float* all = sums.const_data_ptr<float>();
    for (int64_t i = 0; i < n_sums; i++) {
      float total = 0;
      for (int64_t group = 0; group < groups; group++)
        for (int64_t j = 0; j < k.block; j++) total += all[(group * n_sums + i) * k.block + j];
      (i < n_weights ? dw.data_ptr<float>()[i] : db.data_ptr<float>()[i - n_weights]) = total;
    }
    return {dx, dw, db, Tensor()};
  }
};

Tensor conv_pool(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t padding, bool fused) {
  const bool fits = x.device().is_cpu() && x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat && x.dim() == 4 &&
                    weight.dim() == 4 && x.size(0) > 0 && x.size(1) == weight.size(1) && weight.size(2) == weight.size(3) &&
                    padding >= 0 && padding < weight.size(2) && x.size(2) + 2 * padding > weight.size(2) &&
                    x.size(3) + 2 * padding > weight.size(2);
  if (fused && fits) return ConvPoolFunction::apply(x, weight, bias, padding);
  return at::relu(at::max_pool2d(at::conv2d(x, weight, bias, 1, padding), 2));
}

// ---- Gathering ----

Tensor gather_images(const Tensor& images, const Tensor& indices, const Tensor& shifts, const Tensor& mean,
                     const Tensor& inverse) {
  TORCH_CHECK(images.dim() == 4 && images.scalar_type() == at::kByte && images.is_contiguous() && indices.dim() == 1 &&
                  indices.scalar_type() == at::kLong,
              "expected contiguous u8 images [N, C, H, W] and i64 indices [B]");
  const int64_t n = images.size(0), batch = indices.size(0);
  const Tensor places = indices.contiguous();
  for (int64_t i = 0; i < batch; i++) {
    const int64_t at = places.const_data_ptr<int64_t>()[i];
    TORCH_CHECK_INDEX(at >= 0 && at < n, "index ", at, " is out of range for ", n, " images");
  }
  Tensor moved;
  if (shifts.defined()) {
    moved = shifts.contiguous();
    TORCH_CHECK(moved.scalar_type() == at::kLong && moved.numel() == 3 * batch, "expected i64 shifts [B, 3]");
  }
  TORCH_CHECK(mean.numel() == images.size(1) && inverse.numel() == images.size(1), "expected a mean for each channel");
  Tensor out = at::empty({batch, images.size(1), images.size(2), images.size(3)}, images.options().dtype(at::kFloat));
  const Tensor means = mean.contiguous(), inverses = inverse.contiguous();
  spread(batch, 32, [&](int64_t from, int64_t to) {
    kernels().gather(images.const_data_ptr<uint8_t>(), images.size(1), images.size(2), images.size(3),
                     places.const_data_ptr<int64_t>(), moved.defined() ? moved.const_data_ptr<int64_t>() : nullptr,
                     means.const_data_ptr<float>(), inverses.const_data_ptr<float>(), out.data_ptr<float>(), from, to);
  });
  return out;
}

// The message of what `f` throws, to be freed by the caller; null if all went well.
template <typename F>
char* caught(const F& f) {
  try {
    f();
    return nullptr;
  } catch (const c10::Error& error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an unknown exception");
  }
}

Tensor given(const Tensor* t) { return t ? *t : Tensor(); }

}  // namespace
}  // namespace glisten

extern "C" {

char* glisten_conv2d(const Tensor* inputs, const Tensor* weight, int64_t stride, int64_t padding, bool fused, Tensor** out) {
  return glisten::caught([&] { *out = new Tensor(glisten::conv2d(*inputs, *weight, stride, padding, fused)); });
}

char* glisten_batch_norm(const Tensor* x, const Tensor* beside, const Tensor* weight, const Tensor* bias,
                         const Tensor* running_mean, const Tensor* running_var, bool train, double momentum, double epsilon,
                         bool relu, bool fused, Tensor** out) {
  return glisten::caught([&] {
    *out = new Tensor(glisten::batch_norm(*x, glisten::given(beside), *weight, *bias, *running_mean, *running_var, train,
                                          momentum, epsilon, relu, fused));
  });
}

char* glisten_conv_pool(const Tensor* x, const Tensor* weight, const Tensor* bias, int64_t padding, bool fused, Tensor** out) {
  return glisten::caught([&] { *out = new Tensor(glisten::conv_pool(*x, *weight, *bias, padding, fused)); });
}

char* glisten_channels_last(const Tensor* images, Tensor** out) {
  return glisten::caught([&] { *out = new Tensor(glisten::channels_last(*images)); });
}

char* glisten_gather_images(const Tensor* images, const Tensor* indices, const Tensor* shifts, const Tensor* mean,
                            const Tensor* inverse, Tensor** out) {
  return glisten::caught(
      [&] { *out = new Tensor(glisten::gather_images(*images, *indices, glisten::given(shifts), *mean, *inverse)); });
}

char* glisten_sgd_step(const Tensor* const* parameters, const Tensor* const* momenta, int64_t n, double rate, double momentum,
                       bool nesterov, double decay) {
  return glisten::caught([&] {
    at::NoGradGuard no_grad;
    std::vector<Tensor> p, g, m;
    for (int64_t i = 0; i < n; i++) {
      if (!parameters[i]->grad().defined()) continue;
      p.push_back(*parameters[i]);
      g.push_back(parameters[i]->grad());
      m.push_back(*momenta[i]);
    }
    // Momenta that begin at 0 make a first step like every other.
    if (!p.empty()) at::_fused_sgd_(p, g, m, decay, momentum, rate, 0.0, nesterov, false, false);
  });
}

char* glisten_clear_gradients(const Tensor* const* parameters, int64_t n) {
  return glisten::caught([&] {
    for (int64_t i = 0; i < n; i++) parameters[i]->mutable_grad().reset();
  });
}

// Switches bf16 on for this thread, or off; returns through `before` what it was.
char* glisten_autocast(bool on, bool cuda, bool* before) {
  return glisten::caught([&] {
    const auto device = cuda ? at::kCUDA : at::kCPU;
    // First, since it may throw: then nothing has been switched.
    const bool by_libtorch = cuda || glisten::cpu_multiplies_bf16();
    *before = cuda ? at::autocast::is_autocast_enabled(device) : glisten::stores_bf16;
    if (!cuda) glisten::stores_bf16 = on;
    if (by_libtorch) {
      if (on) at::autocast::set_autocast_dtype(device, at::kBFloat16);
      at::autocast::set_autocast_enabled(device, on);
      // Copies of weights are good for one step.
      if (!on) at::autocast::clear_cache();
    }
  });
}

// The name of path `at`, counted from the least, or null beyond the last.
const char* glisten_cpu_path(int64_t at) {
  return at < 0 || at > static_cast<int64_t>(glisten::Path::avx512_bf16) ? nullptr : glisten::PATHS[at];
}

// The number of the highest path that this CPU can take.
int64_t glisten_best_cpu_path() { return static_cast<int64_t>(glisten::best_path()); }

// The number of the path that the operators take.
char* glisten_cpu_path_in_use(int64_t* at) {
  return glisten::caught([&] { *at = static_cast<int64_t>(glisten::path()); });
}

void glisten_free(char* message) { free(message); }
}
