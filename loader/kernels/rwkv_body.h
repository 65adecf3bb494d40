// The RWKV kernels' one body. Everything here has internal linkage and uses no std containers; no
// product is contracted with a sum, so that all instruction sets round alike.

// State row i: y += r[i] (u[i] k[i] v + S[i]); S[i] = w[i] S[i] + k[i] v.
static void Scan(const RwkvHeadTask& task) {
  const std::size_t dim = task.dim;
  for (std::size_t t = 0; t < task.tokens; ++t) {
    const float* const r = task.receptance + t * task.stride;
    const float* const k = task.key + t * task.stride;
    const float* const __restrict v = task.value + t * task.stride;
    const float* const w = task.decay + t * task.decay_stride;
    float* const __restrict out = task.out + t * task.stride;
    for (std::size_t j = 0; j < dim; ++j) out[j] = 0;
    for (std::size_t i = 0; i < dim; ++i) {
      float* const __restrict row = task.state + i * dim;
      const float ri = r[i], ki = k[i], ui = task.bonus[i], wi = w[i];
      for (std::size_t j = 0; j < dim; ++j) {
        const float kv = ki * v[j];
        out[j] += ri * (ui * kv + row[j]);
        row[j] = wi * row[j] + kv;
      }
    }
  }
}

// removed = kk S; S[i] = w[i] S[i] - (kk * rate)[i] removed + k[i] v; y += r[i] S[i].
static void DeltaScan(const RwkvHeadTask& task) {
  const std::size_t dim = task.dim;
  float* const __restrict removed = task.scratch;
  for (std::size_t t = 0; t < task.tokens; ++t) {
    const std::size_t at = t * task.stride;
    const float* const r = task.receptance + at;
    const float* const k = task.key + at;
    const float* const __restrict v = task.value + at;
    const float* const w = task.decay + t * task.decay_stride;
    const float* const removal = task.removal + at;
    const float* const replacement = task.replacement + at;
    float* const __restrict out = task.out + at;
    for (std::size_t j = 0; j < dim; ++j) removed[j] = 0;
    for (std::size_t i = 0; i < dim; ++i) {
      const float* const __restrict row = task.state + i * dim;
      for (std::size_t j = 0; j < dim; ++j) removed[j] += removal[i] * row[j];
    }
    for (std::size_t j = 0; j < dim; ++j) out[j] = 0;
    for (std::size_t i = 0; i < dim; ++i) {
      float* const __restrict row = task.state + i * dim;
      const float ri = r[i], ki = k[i], wi = w[i], bi = replacement[i];
      for (std::size_t j = 0; j < dim; ++j) {
        row[j] = wi * row[j] - bi * removed[j] + ki * v[j];
        out[j] += ri * row[j];
      }
    }
  }
}
