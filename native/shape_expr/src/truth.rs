//! [`Truth`]: which answers a clause can still have.

/// The possible outcomes of a clause as a non-empty set of {true, false, null}.
///
/// It holds a single outcome when everything the answer depends on was known, and more than one when
/// it depends on an absent column.
///
/// ```
/// use shape_expr::Truth;
/// assert_eq!(Truth::FALSE.and(Truth::ANY), Truth::FALSE);
/// assert_eq!(Truth::TRUE.or(Truth::NULL).known(), Some(Some(true)));
/// assert_eq!(Truth::ANY.known(), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Truth(u8);

const T: u8 = 1;
const F: u8 = 2;
const N: u8 = 4;

/// Results of AND and OR for all 8 x 8 sets, so that the hot path is one load.
static AND: [[u8; 8]; 8] = table(true);
static OR: [[u8; 8]; 8] = table(false);

const fn table(and: bool) -> [[u8; 8]; 8] {
    let mut all = [[0u8; 8]; 8];
    let mut left = 0;
    while left < 8 {
        let mut right = 0;
        while right < 8 {
            let mut a = T;
            while a <= N {
                let mut b = T;
                while b <= N {
                    if left as u8 & a != 0 && right as u8 & b != 0 {
                        all[left][right] |= single(and, a, b);
                    }
                    b <<= 1;
                }
                a <<= 1;
            }
            right += 1;
        }
        left += 1;
    }
    all
}

const fn single(and: bool, a: u8, b: u8) -> u8 {
    let (strong, weak) = if and { (F, T) } else { (T, F) };
    if a == strong || b == strong {
        strong
    } else if a == weak && b == weak {
        weak
    } else {
        N
    }
}

impl Truth {
    /// Certainly true.
    pub const TRUE: Truth = Truth(T);
    /// Certainly false.
    pub const FALSE: Truth = Truth(F);
    /// Certainly null.
    pub const NULL: Truth = Truth(N);
    /// True or false, but not null.
    pub const TRUE_OR_FALSE: Truth = Truth(T | F);
    /// Nothing is known about it.
    pub const ANY: Truth = Truth(T | F | N);

    /// Certainly true.
    #[must_use]
    pub const fn is_true(self) -> bool {
        self.0 == T
    }

    /// True is among the possible outcomes.
    #[must_use]
    pub const fn may_be_true(self) -> bool {
        self.0 & T != 0
    }

    /// False is among the possible outcomes.
    #[must_use]
    pub const fn may_be_false(self) -> bool {
        self.0 & F != 0
    }

    /// Null is among the possible outcomes.
    #[must_use]
    pub const fn may_be_null(self) -> bool {
        self.0 & N != 0
    }

    /// The answer if there is only one: `Some(Some(bool))`, or `Some(None)` for null.
    #[must_use]
    pub const fn known(self) -> Option<Option<bool>> {
        match self.0 {
            T => Some(Some(true)),
            F => Some(Some(false)),
            N => Some(None),
            _ => None,
        }
    }

    /// The outcomes of `self AND other`.
    #[must_use]
    pub fn and(self, other: Truth) -> Truth {
        Truth(AND[usize::from(self.0 & 7)][usize::from(other.0 & 7)])
    }

    /// The outcomes of `self OR other`.
    #[must_use]
    pub fn or(self, other: Truth) -> Truth {
        Truth(OR[usize::from(self.0 & 7)][usize::from(other.0 & 7)])
    }

    /// All outcomes of either.
    #[must_use]
    pub const fn union(self, other: Truth) -> Truth {
        Truth(self.0 | other.0)
    }

    /// True and false change places, null stays.
    #[must_use]
    pub const fn negate(self) -> Truth {
        Truth((self.0 & N) | ((self.0 & T) << 1) | ((self.0 & F) >> 1))
    }
}

impl std::ops::Not for Truth {
    type Output = Truth;

    fn not(self) -> Truth {
        self.negate()
    }
}

impl From<Option<bool>> for Truth {
    fn from(value: Option<bool>) -> Truth {
        match value {
            Some(true) => Truth::TRUE,
            Some(false) => Truth::FALSE,
            None => Truth::NULL,
        }
    }
}
