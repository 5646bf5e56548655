//! The exceptions that Python would raise, with its messages.
use thiserror::Error;

/// An exception.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind}: {message}")]
pub(crate) struct Exception {
    pub(crate) kind: String,
    pub(crate) message: String,
}

const OUT_OF_MEMORY: &str = "torch.OutOfMemoryError";
/// The `errno` of a full disk.
pub(crate) const NO_SPACE: i32 = 28;

impl Exception {
    pub(crate) fn new(kind: &str, message: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), message: message.into() }
    }

    /// The exception for a constant where the node needs a link.
    pub(crate) fn not_subscriptable() -> Self {
        Self::new("TypeError", "'str' object is not subscriptable")
    }

    /// The exception for a NaN in the computation of a size or a number of steps.
    pub(crate) fn nan_as_int() -> Self {
        Self::new("ValueError", crate::python::nan_as_int())
    }

    pub(crate) fn out_of_memory() -> Self {
        let message = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.99 GiB of \
                       which 1.02 GiB is free.";
        Self::new(OUT_OF_MEMORY, message)
    }

    pub(crate) fn cuda_error() -> Self {
        let message = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be \
                       asynchronously reported at some other API call, so the stacktrace below might be incorrect.";
        Self::new("torch.AcceleratorError", message)
    }

    /// The tips that ComfyUI adds below the message.
    pub(crate) fn tips(&self) -> &'static str {
        match self.kind.as_str() {
            OUT_OF_MEMORY => {
                "This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before you \
                 might have accidentally set the batch_size to a large number."
            }
            _ => "",
        }
    }

    /// The exception for a file that can't be written. safetensors, which writes latents, has a message of its own.
    pub(crate) fn of_saving(error: &std::io::Error, extension: &str) -> Self {
        if extension == "latent" {
            let kind = "safetensors._safetensors_rust.SafetensorError";
            return Self::new(kind, format!("Error while serializing: I/O error: {error}"));
        }
        Self::from(error)
    }
}

/// `[Errno 28] No space left on device`.
impl From<&std::io::Error> for Exception {
    fn from(error: &std::io::Error) -> Self {
        let words = error.to_string();
        let Some(number) = error.raw_os_error() else { return Self::new("OSError", words) };
        let words = words.split(" (os error").next().unwrap_or_default();
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => "FileNotFoundError",
            std::io::ErrorKind::PermissionDenied => "PermissionError",
            std::io::ErrorKind::IsADirectory => "IsADirectoryError",
            _ => "OSError",
        };
        Self::new(kind, format!("[Errno {number}] {words}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_read_as_in_python() {
        let full = std::io::Error::from_raw_os_error(NO_SPACE);
        let expected = Exception::new("OSError", "[Errno 28] No space left on device");
        assert_eq!(Exception::from(&full), expected);
        let of_latent = Exception::of_saving(&full, "latent");
        assert!(of_latent.message.contains("No space left on device"), "{of_latent}");
    }
}
