//! Words of which one is chosen.

/// Declares an enum whose values are words of the file.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $title:literal $(, or $or:literal)? { $($word:literal => $value:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($value),+ }

        impl $crate::read::Scalar for $name {
            const SHAPE: $crate::shape::ScalarShape = $crate::shape::ScalarShape::new(
                $title,
                "",
                &[$crate::shape::Form::Words(&[$($word),+])],
            );

            fn parse(word: &$crate::tree::Word) -> Result<Self, $crate::read::Fault> {
                match word.as_text()? {
                    $($word => Ok(Self::$value),)+
                    text => {
                        let near = $crate::shape::did_you_mean(text, [$($word),+]);
                        let or = concat!($(", or ", $or)?);
                        let help = format!("{near}{}{or}", <Self as $crate::read::Scalar>::SHAPE.valid());
                        Err($crate::read::Fault::new(concat!("is not ", $title), help))
                    }
                }
            }
        }
    };
}
pub(crate) use words;
