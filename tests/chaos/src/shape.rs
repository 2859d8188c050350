//! Which control plane a campaign breaks.

use crate::fault::Fault;

/// Several coordinators or one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Three coordinators on a PostgreSQL with a synchronous stand-by.
    Several,
    /// One coordinator on SQLite, with all it has on one small disk.
    Single,
}

impl Shape {
    pub(crate) const fn coordinators(self) -> usize {
        match self {
            Self::Several => 3,
            Self::Single => 1,
        }
    }

    fn can(self, fault: Fault) -> bool {
        self == Self::Several || !fault.needs_several()
    }

    /// The kinds of blows to deal among these; none named: all that can be dealt.
    ///
    /// # Errors
    /// When one was named that cannot be dealt.
    pub(crate) fn kinds(self, named: &[String]) -> Result<Vec<Fault>, String> {
        let all: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| self.can(*fault)).collect();
        if named.is_empty() {
            return Ok(all);
        }
        let names = all.iter().map(|fault| fault.name()).collect::<Vec<_>>().join(", ");
        let find = |name: &String| match Fault::ALL.into_iter().find(|fault| fault.name() == name) {
            None => Err(format!("there is no `{name}`; use some of {names}")),
            Some(fault) if !self.can(fault) => {
                Err(format!("`{name}` needs several coordinators: leave out --single"))
            }
            Some(fault) => Ok(fault),
        };
        named.iter().map(find).collect()
    }
}
