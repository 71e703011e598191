/* The block formats' sizes, from the GGUF specification. */
#include "kernels/kernels.h"

const PdDtypeInfo pd_dtype_info[PD_N_DTYPES] = {
    [PD_F32] = {"F32", 1, 4},       [PD_F16] = {"F16", 1, 2},       [PD_BF16] = {"BF16", 1, 2},
    [PD_Q8_0] = {"Q8_0", 32, 34},   [PD_Q4_0] = {"Q4_0", 32, 18},   [PD_Q4_1] = {"Q4_1", 32, 20},
    [PD_Q5_0] = {"Q5_0", 32, 22},   [PD_Q5_1] = {"Q5_1", 32, 24},   [PD_Q4_K] = {"Q4_K", 256, 144},
    [PD_Q5_K] = {"Q5_K", 256, 176}, [PD_Q6_K] = {"Q6_K", 256, 210},
};
