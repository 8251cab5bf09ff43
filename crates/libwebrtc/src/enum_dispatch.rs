//! The `enum_dispatch!` macro, which `livekit` uses for its own enums.

/// **Works.** Writes methods of an enum that call the method of the same name on whatever the
/// variant holds.
///
/// Every named variant must hold exactly one value with that method.
///
/// ```
/// struct Cat;
/// impl Cat {
///     fn sound(&self, times: usize) -> String {
///         "meow".repeat(times)
///     }
/// }
/// enum Pet {
///     Cat(Cat),
/// }
/// impl Pet {
///     libwebrtc::enum_dispatch!(
///         [Cat];
///         pub fn sound(self: &Self, times: usize) -> String;
///     );
/// }
/// assert_eq!(Pet::Cat(Cat).sound(2), "meowmeow");
/// ```
#[macro_export]
macro_rules! enum_dispatch {
    (@call [$($variant:ident),+] $self:ident.$method:ident $arguments:tt) => {
        match $self {
            $(Self::$variant(held) => held.$method $arguments,)+
        }
    };
    ($variants:tt;) => {};
    (
        $variants:tt;
        $(#[$attribute:meta])*
        $vis:vis fn $method:ident($self:ident: $receiver:ty $(, $argument:ident: $type:ty)*) -> $result:ty;
        $($more:tt)*
    ) => {
        $(#[$attribute])*
        #[inline]
        $vis fn $method($self: $receiver $(, $argument: $type)*) -> $result {
            $crate::enum_dispatch!(@call $variants $self.$method($($argument),*))
        }
        $crate::enum_dispatch!($variants; $($more)*);
    };
}
