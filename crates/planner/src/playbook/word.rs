//! The words of the vocabulary: enums whose spelling stands beside each variant.

/// A parameter that takes one of a few words.
pub trait Word: Copy + PartialEq + 'static {
    /// Every word with its meaning, in the order in which messages name them.
    const WORDS: &'static [(&'static str, Self)];

    /// The word's spelling in a playbook.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, meaning)| *meaning == self).map_or("", |(word, _)| word)
    }
}

/// Declares an enum of words: each variant with its spelling.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $crate::playbook::Word for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad($crate::playbook::Word::word(*self))
            }
        }
    };
}

pub(super) use words;
