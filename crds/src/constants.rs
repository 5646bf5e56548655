/// An enum of documented constants that are strings in the API. A variant's name is the string, and its doc comment is the
/// text in the API reference.
macro_rules! constants {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $( $(#[doc = $doc:literal])+ $variant:ident, )+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $name { $( $(#[doc = $doc])+ $variant, )+ }

        impl $name {
            /// All constants, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )+];

            /// The string in the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => stringify!($variant), )+ }
            }

            /// The meaning, for the API reference.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $( Self::$variant => concat!($($doc),+).trim_ascii(), )+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl From<$name> for &'static str {
            fn from(constant: $name) -> Self {
                constant.as_str()
            }
        }
    };
}
pub(crate) use constants;
