use serde::Deserialize;

/// A node raised an exception.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Failure {
    #[serde(default)]
    node_id: String,
    #[serde(default)]
    node_type: String,
    #[serde(default)]
    exception_type: String,
    #[serde(default)]
    exception_message: String,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The GPU's memory was too small for this picture, or too full.
    OutOfMemory,
    /// The GPU or its driver is in a state from which the engine's process does not recover.
    MachineFault,
    /// The graph's own.
    Graph,
}

/// What PyTorch and the drivers say when the GPU context is lost; every later call in the process fails too.
const MACHINE_FAULTS: [&str; 8] = [
    "cuda error",
    "cuda_error",
    "cudaerror",
    "hip error",
    "device-side assert",
    "illegal memory access",
    "cudnn_status_",
    "cublas_status_",
];

impl Failure {
    pub(super) fn without_words() -> Self {
        Self {
            node_id: "?".into(),
            node_type: "?".into(),
            exception_type: "Error".into(),
            exception_message: "the engine gave no reason".into(),
        }
    }

    /// Whose fault it is, by the exception's type and words.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let (name, words) = (self.exception_type.as_str(), self.exception_message.to_lowercase());
        // First: running out of memory is also reported as "CUDA error: out of memory".
        if name.contains("OutOfMemory") || words.contains("out of memory") || words.contains("alloc_failed") {
            Kind::OutOfMemory
        } else if name.contains("AcceleratorError")
            || MACHINE_FAULTS.iter().any(|fault| words.contains(fault))
        {
            Kind::MachineFault
        } else {
            Kind::Graph
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
            ("RuntimeError", "CUDA error: out of memory", Kind::OutOfMemory),
            ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling", Kind::OutOfMemory),
            ("RuntimeError", "CUDA error: an illegal memory access was encountered", Kind::MachineFault),
            ("torch.AcceleratorError", "device-side assert triggered", Kind::MachineFault),
            ("RuntimeError", "HIP error: unspecified launch failure", Kind::MachineFault),
            ("RuntimeError", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", Kind::MachineFault),
            ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied", Kind::Graph),
            ("safetensors._safetensors_rust.SafetensorError", "header too large\n", Kind::Graph),
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
