//! Names of this machine that a test can take away.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A resolver in place of the system's, for which every name is this machine's. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Names {
    are_gone: Arc<AtomicBool>,
}

impl Names {
    pub(crate) fn take_away(&self) {
        self.are_gone.store(true, Ordering::SeqCst);
    }

    pub(crate) fn give_back(&self) {
        self.are_gone.store(false, Ordering::SeqCst);
    }
}

impl Resolve for Names {
    fn resolve(&self, _name: Name) -> Resolving {
        let are_gone = self.are_gone.load(Ordering::SeqCst);
        Box::pin(async move {
            if are_gone {
                return Err("no such name".into());
            }
            let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            Ok(Box::new([here].into_iter()) as Addrs)
        })
    }
}
