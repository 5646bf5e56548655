/// A node raised an exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub(super) node_id: String,
    pub(super) node_type: String,
    pub(super) exception_type: String,
    pub(super) exception_message: String,
}

/// What an exception looks like. Its words may hold anything that a user wrote, so those that would take a worker out
/// of service are a suspicion, which the engine's own state has to confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Memory was too small for this picture, or too full.
    OutOfMemory,
    /// The GPU or its driver may be in a state from which the engine's process does not recover.
    GpuFault,
    /// The engine's disk may be full or broken.
    DiskFault,
    /// A node's request over the network failed: another try may succeed.
    Network,
    /// The graph's own, or that of what is installed here.
    Other,
}

/// What PyTorch and the drivers say when the GPU context is lost; every later call in the process fails too.
const GPU_FAULTS: [&str; 8] = [
    "cuda error",
    "cuda_error",
    "cudaerror",
    "hip error",
    "device-side assert",
    "illegal memory access",
    "cudnn_status_",
    "cublas_status_",
];

/// How Python and Rust write EIO, ENOSPC, EROFS and EDQUOT.
const DISK_FAULTS: [&str; 8] = [
    "[errno 5]",
    "[errno 28]",
    "[errno 30]",
    "[errno 122]",
    "(os error 5)",
    "(os error 28)",
    "(os error 30)",
    "(os error 122)",
];

/// What an exception's type is called where memory ran out; the GPU's is a RuntimeError in old versions of PyTorch.
const OUT_OF_MEMORY: [&str; 3] = ["outofmemory", "memoryerror", "runtimeerror"];
const OUT_OF_MEMORY_WORDS: [&str; 2] = ["out of memory", "alloc_failed"];

/// Parts of the names of exceptions that network libraries raise.
const NETWORK: [&str; 6] =
    ["timeout", "connectionerror", "connecterror", "httperror", "urlerror", "clientconnector"];

impl Failure {
    /// What it looks like, by the exception's type and words.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let (name, words) = (self.exception_type.to_lowercase(), self.exception_message.to_lowercase());
        let any = |tokens: &[&str], text: &str| tokens.iter().any(|token| text.contains(token));
        let is_memory_error = name.contains("outofmemory") || name.ends_with("memoryerror");
        let may_be_memory = any(&OUT_OF_MEMORY, &name) || name.contains("acceleratorerror");
        // First: running out of memory is also reported as "CUDA error: out of memory".
        if is_memory_error || may_be_memory && any(&OUT_OF_MEMORY_WORDS, &words) {
            Kind::OutOfMemory
        } else if name.contains("acceleratorerror") || any(&GPU_FAULTS, &words) {
            Kind::GpuFault
        } else if any(&DISK_FAULTS, &words) || words.contains("no space left on device") {
            Kind::DiskFault
        } else if any(&NETWORK, &name) {
            Kind::Network
        } else {
            Kind::Other
        }
    }

    /// For people.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { node_id, node_type, exception_type, exception_message } = self;
        format!("node {node_id} ({node_type}): {exception_type}: {}", exception_message.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Kind};

    fn failure(exception_type: &str, message: &str) -> Failure {
        Failure {
            node_id: "3".into(),
            node_type: "KSampler".into(),
            exception_type: exception_type.into(),
            exception_message: message.into(),
        }
    }

    #[test]
    fn failures_are_told_apart() {
        let table = [
            ("torch.OutOfMemoryError", "Allocation on device ", Kind::OutOfMemory),
            ("torch.cuda.OutOfMemoryError", "CUDA out of memory. Tried to allocate 2 GiB", Kind::OutOfMemory),
            ("MemoryError", "", Kind::OutOfMemory),
            ("RuntimeError", "CUDA error: out of memory", Kind::OutOfMemory),
            ("torch.AcceleratorError", "CUDA error: out of memory", Kind::OutOfMemory),
            ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling", Kind::OutOfMemory),
            ("ValueError", "the budget is out of memory", Kind::Other),
            ("RuntimeError", "CUDA error: an illegal memory access was encountered", Kind::GpuFault),
            ("torch.AcceleratorError", "device-side assert triggered", Kind::GpuFault),
            ("RuntimeError", "HIP error: unspecified launch failure", Kind::GpuFault),
            ("RuntimeError", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", Kind::GpuFault),
            ("OSError", "[Errno 28] No space left on device: '/out/a.png'", Kind::DiskFault),
            ("OSError", "[Errno 5] Input/output error", Kind::DiskFault),
            (
                "safetensors.SafetensorError",
                "I/O error: No space left on device (os error 28)",
                Kind::DiskFault,
            ),
            ("OSError", "[Errno 2] No such file or directory: 'x'", Kind::Other),
            ("requests.exceptions.ConnectionError", "refused", Kind::Network),
            ("TimeoutError", "", Kind::Network),
            ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied", Kind::Other),
            ("safetensors._safetensors_rust.SafetensorError", "header too large\n", Kind::Other),
        ];
        for (name, message, kind) in table {
            assert_eq!(failure(name, message).kind(), kind, "{name}: {message}");
        }
    }

    #[test]
    fn words_name_the_node() {
        assert_eq!(failure("ValueError", "bad\n").words(), "node 3 (KSampler): ValueError: bad");
    }
}
