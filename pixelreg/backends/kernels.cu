// Fused kernels of the CuPy backend: one thread a pixel or a value, no shared memory, so that the
// same text also compiles as C++ and is tested without a GPU. What they compute is written down in
// array.py and models/plans.py.

typedef unsigned char byte;
typedef unsigned int uint32;
typedef long long int64;

#define CUBIC_A (-1.15f)  // KEYS of warp.py

__device__ static inline int clamped(int value, int low, int high) {
    return value < low ? low : value > high ? high : value;
}

__device__ static inline byte to_byte(float level) {
    return (byte)fminf(fmaxf(rintf(level), 0.0f), 255.0f);
}

__device__ static inline float cubic_near(float d) {
    return ((CUBIC_A + 2.0f) * d - (CUBIC_A + 3.0f)) * d * d + 1.0f;
}

__device__ static inline float cubic_far(float d) {
    return ((CUBIC_A * d - 5.0f * CUBIC_A) * d + 8.0f * CUBIC_A) * d - 4.0f * CUBIC_A;
}

// Sums of X, T (samples, pixels) over samples first to last, added to four (pixels,) integers.
// 255^2 times 65536 samples still fit 32 bits.
extern "C" __global__ void pixel_sums(
    const byte* X, const byte* T, int first, int last, int pixels, int64* x, int64* xx, int64* t,
    int64* xt) {
    int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= pixels) return;
    uint32 sx = 0, sxx = 0, st = 0, sxt = 0;
    for (int n = first; n < last; ++n) {
        uint32 a = X[(int64)n * pixels + p], b = T[(int64)n * pixels + p];
        sx += a;
        sxx += a * a;
        st += b;
        sxt += a * b;
    }
    x[p] += sx;
    xx[p] += sxx;
    t[p] += st;
    xt[p] += sxt;
}

// Histograms of X, T (samples, pixels), added to (pixels, 256) each; a thread owns its pixel.
extern "C" __global__ void level_sums(
    const byte* X, const byte* T, int samples, int pixels, uint32* inputs, uint32* targets) {
    int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= pixels) return;
    for (int n = 0; n < samples; ++n) {
        int64 cell = (int64)p * 256 + X[(int64)n * pixels + p];
        inputs[cell] += 1;
        targets[cell] += T[(int64)n * pixels + p];
    }
}

extern "C" __global__ void solve_ridge(
    const int64* x, const int64* xx, const int64* t, const int64* xt, int64 count, int pixels,
    double unit, double alpha, int identity, double* weight, double* bias) {
    int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= pixels) return;
    int64 st = identity ? t[p] - x[p] : t[p];
    int64 sxt = identity ? xt[p] - xx[p] : xt[p];
    double square = unit * unit;
    double spread = (double)(count * xx[p] - x[p] * x[p]) / square;
    double covariance = (double)(count * sxt - x[p] * st) / square;
    double determinant = spread + alpha * (xx[p] / square + count + alpha);
    double w = (covariance + alpha * (sxt / square)) / determinant;
    bias[p] = (st / unit - w * (x[p] / unit)) / (count + alpha);
    weight[p] = w + (identity ? 1.0 : 0.0);
}

// Cholesky of gram (rank, rank, pixels), lower triangle, in place; moment (rank, pixels) solved.
extern "C" __global__ void solve_positive(double* gram, double* moment, int rank, int pixels) {
    int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= pixels) return;
#define L(i, j) gram[((int64)(i) * rank + (j)) * pixels + p]
#define M(i) moment[(int64)(i) * pixels + p]
    for (int i = 0; i < rank; ++i) {
        double right = M(i);
        for (int j = 0; j <= i; ++j) {
            double total = L(i, j);
            for (int k = 0; k < j; ++k) total -= L(i, k) * L(j, k);
            L(i, j) = i == j ? sqrt(total) : total / L(j, j);
            if (j < i) right -= L(i, j) * M(j);
        }
        M(i) = right / L(i, i);
    }
    for (int i = rank - 1; i >= 0; --i) {
        double right = M(i);
        for (int k = i + 1; k < rank; ++k) right -= L(k, i) * M(k);
        M(i) = right / L(i, i);
    }
#undef L
#undef M
}

// The plans below take X (pictures, values) and write out alike.

extern "C" __global__ void apply_affine(
    const float* weight, const float* bias, int values, const byte* X, int64 total, float share,
    byte* out) {
    int64 i = (int64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= total) return;
    int p = (int)(i % values);
    float v = X[i];
    out[i] = to_byte(v + share * (weight[p] * v + 255.0f * bias[p] - v));
}

extern "C" __global__ void apply_kernel(
    const float* table, const float* coefficients, int rank, int values, const byte* X,
    int64 total, float share, byte* out) {
    int64 i = (int64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= total) return;
    int64 p = i % values;
    const float* features = table + (int)X[i] * rank;
    const float* own = coefficients + p * rank;
    float y = 0.0f, v = X[i];
    for (int k = 0; k < rank; ++k) y += features[k] * own[k];
    out[i] = to_byte(v + share * (255.0f * y - v));
}

extern "C" __global__ void apply_sparse(
    const signed char* offsets, const float* weights, const float* bias, int count, int height,
    int width, int channels, const byte* X, int64 total, float share, byte* out) {
    int64 i = (int64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= total) return;
    int values = height * width * channels;
    int p = (int)(i % values);
    int row = p / (width * channels), column = p / channels % width;
    float y = bias[p], v = X[i];
    for (int k = 0; k < count; ++k) {
        int down = offsets[2 * k], right = offsets[2 * k + 1];
        bool inside = row + down >= 0 && row + down < height && column + right >= 0 &&
                      column + right < width;
        if (inside) {
            float x = X[i + (int64)(down * width + right) * channels] / 255.0f;
            y += weights[(int64)k * values + p] * x;
        }
    }
    out[i] = to_byte(v + share * (255.0f * y - v));
}

// Flow plans, one picture (height, width, channels) at a time, one thread a pixel.

extern "C" __global__ void flow_low(
    const byte* x, const float* displacement, int height, int width, int channels, float* low) {
    int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= height * width) return;
    float column = p % width + displacement[2 * p], row = p / width + displacement[2 * p + 1];
    int left = (int)floorf(column), top = (int)floorf(row);
    float across = column - left, down = row - top;
    int l0 = clamped(left, 0, width - 1), l1 = clamped(left + 1, 0, width - 1);
    int t0 = clamped(top, 0, height - 1), t1 = clamped(top + 1, 0, height - 1);
    for (int c = 0; c < channels; ++c) {
        float upper = (1.0f - across) * x[(t0 * width + l0) * channels + c] +
                      across * x[(t0 * width + l1) * channels + c];
        float lower = (1.0f - across) * x[(t1 * width + l0) * channels + c] +
                      across * x[(t1 * width + l1) * channels + c];
        low[p * channels + c] = ((1.0f - down) * upper + down * lower) / 255.0f;
    }
}

extern "C" __global__ void blur_down(
    const float* low, const float* taps, int reach, int height, int width, int channels,
    float* out) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    int line = width * channels;
    if (i >= height * line) return;
    float total = 0.0f;
    for (int k = -reach; k <= reach; ++k) {
        int row = clamped(i / line + k, 0, height - 1);
        total += taps[k + reach] * low[row * line + i % line];
    }
    out[i] = total;
}

extern "C" __global__ void flow_colour(
    const float* low, const float* taps, int reach, int height, int width, int channels,
    const float* weight, const float* bias, float* out) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= height * width * channels) return;
    float total = 0.0f;
    int pixel = i / channels, row = pixel / width;
    for (int k = -reach; k <= reach; ++k) {
        int column = clamped(pixel % width + k, 0, width - 1);
        total += taps[k + reach] * low[(row * width + column) * channels + i % channels];
    }
    out[i] = weight[i] * total + bias[i];
}

extern "C" __global__ void apply_flow(
    const byte* x, const float* displacement, const float* colour, int height, int width,
    int channels, float share, byte* out) {
    int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= height * width) return;
    float dx = displacement[2 * p], dy = displacement[2 * p + 1];
    bool still = dx == 0.0f && dy == 0.0f;
    float column = p % width + share * dx, row = p / width + share * dy;
    int left = (int)floorf(column), top = (int)floorf(row);
    float fx = column - left, fy = row - top;
    float across[4] = {
        cubic_far(1.0f + fx), cubic_near(fx), cubic_near(1.0f - fx), cubic_far(2.0f - fx)};
    float down[4] = {
        cubic_far(1.0f + fy), cubic_near(fy), cubic_near(1.0f - fy), cubic_far(2.0f - fy)};
    for (int c = 0; c < channels; ++c) {
        int i = p * channels + c;
        float moved = still ? (float)x[i] : 0.0f;
        for (int k = 0; k < 4 && !still; ++k) {
            int line = clamped(top + k - 1, 0, height - 1) * width;
            float part = 0.0f;
            for (int m = 0; m < 4; ++m) {
                int place = line + clamped(left + m - 1, 0, width - 1);
                part += across[m] * x[place * channels + c];
            }
            moved += down[k] * part;
        }
        out[i] = to_byte(moved + 255.0f * share * colour[i]);
    }
}
