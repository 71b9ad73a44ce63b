//! The sockets that a new configuration moves to: bound before anything has changed, or it is rejected.
//! Not here: how long they are held (`launch::listeners`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use supervisor_core::ServiceName;

use super::plan::{Deed, Plan};
use crate::config::{Diagnostic, Diagnostics, Handoff, Service, Stack, overlap};
use crate::control::launch::listeners::{Listener, addresses, held_addresses, settled};

/// Of a service; nobody can connect yet.
pub(crate) type Bound = (ServiceName, Listener);

/// What is bound already, as far as it is ours.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    pub(crate) held: BTreeMap<ServiceName, Vec<Arc<Listener>>>,
    /// The API's.
    pub(crate) http: Option<SocketAddr>,
}

impl Ground {
    /// Binds what `plan` starts and `old` does not mean yet.
    pub(crate) fn bind(&self, old: &Stack, new: &Stack, plan: &Plan) -> Result<Vec<Bound>, Diagnostics> {
        let starts = plan.services.iter().filter(|planned| planned.deed.starts()).map(|planned| &planned.name);
        let starts = starts.filter_map(|name| find(new, name));
        let (mut bound, mut list) = (Vec::new(), Vec::new());
        for service in starts {
            let name = &service.spec.name;
            let before = find(old, name).map(|before| &*before.launch);
            for (what, address) in held_addresses(&service.launch) {
                if before.is_some_and(|before| held_addresses(before).any(|known| known == (what, address))) {
                    continue;
                }
                match self.one(old, new, name, what, address) {
                    Ok(listener) => bound.extend(listener.map(|listener| (name.clone(), listener))),
                    Err(why) => {
                        let message = format!("service `{name}` cannot have port {}: {why}", address.port());
                        list.push(Diagnostic::at(&service.at, &message));
                    }
                }
            }
        }
        if list.is_empty() { Ok(bound) } else { Err(Diagnostics { list, more: 0 }) }
    }

    /// `None`: it is there already, or can only be tried when the service is started.
    fn one(
        &self,
        old: &Stack,
        new: &Stack,
        of: &ServiceName,
        name: &str,
        address: SocketAddr,
    ) -> Result<Option<Listener>, String> {
        let held = self.held.iter().flat_map(|(holder, listeners)| listeners.iter().map(move |one| (holder, one)));
        let mut inherited = None;
        for (holder, listener) in held.filter(|(_, listener)| in_the_way(listener.address, address)) {
            let stays = holder != of && find(new, holder).is_some();
            match (stays, listener.address == address) {
                (false, true) if holder == of && listener.name == name => return Ok(None),
                (false, true) => inherited = listener.under(name),
                (true, _) => {
                    return Err(format!(
                        "a generation of `{holder}` is on it; when that has moved and its last generation there is \
                         gone, reload again"
                    ));
                }
                (false, false) => {
                    return Err(format!(
                        "a generation of `{holder}` is on {}, and both cannot be open at once; choose another port, \
                         or stop `{holder}`, reload, and start `{of}`",
                        listener.address
                    ));
                }
            }
        }
        if inherited.is_some() {
            return Ok(inherited);
        }
        // Who binds a port itself lets go of it when it is stopped, and the API's moves with this configuration.
        let bound_by_themselves = old.services.iter().filter(|service| service.launch.handoff == Handoff::Own);
        let mut theirs = bound_by_themselves.flat_map(|service| addresses(&service.launch)).map(|(_, address)| address);
        if theirs.any(|theirs| in_the_way(theirs, address)) || self.http.is_some_and(|http| in_the_way(http, address)) {
            return Ok(None);
        }
        match settled(address) {
            Ok(fd) => Ok(Some(Listener::new(name, address, fd))),
            Err(failure) => Err(failure.message().to_owned()),
        }
    }
}

impl Deed {
    fn starts(self) -> bool {
        match self {
            Self::Start | Self::Restart => true,
            Self::Add | Self::Update | Self::Remove => false,
        }
    }
}

/// Lets clients connect to those that `plan` still starts.
pub(super) fn open(bound: Vec<Bound>, plan: &Plan, stack: &Stack) -> Result<Vec<Bound>, Diagnostics> {
    let started = |name: &ServiceName| plan.services.iter().any(|one| one.name == *name && one.deed.starts());
    let opened: Vec<Bound> = bound.into_iter().filter(|(name, _)| started(name)).collect();
    for (name, listener) in &opened {
        if let Err(failure) = listener.open() {
            let message = format!("service `{name}`: {}", failure.message());
            let diagnostic = match find(stack, name) {
                Some(service) => Diagnostic::at(&service.at, &message),
                None => Diagnostic::of_file(&stack.file, &message),
            };
            return Err(Diagnostics { list: vec![diagnostic], more: 0 });
        }
    }
    Ok(opened)
}

fn find<'a>(stack: &'a Stack, name: &ServiceName) -> Option<&'a Service> {
    stack.services.iter().find(|service| service.spec.name == *name)
}

fn in_the_way(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && overlap(one.ip(), other.ip())
}

#[cfg(test)]
#[path = "opening_tests.rs"]
mod tests;
