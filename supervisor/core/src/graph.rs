//! Who depends on whom: checked once, then read.
//! Not here: whether a condition holds (see `order`).

use std::borrow::Borrow;
use std::collections::BTreeMap;

use crate::spec::{Condition, GraphError, ServiceName, ServiceSpec};

/// The dependencies of a fleet, by the places of the services in the list of specs. Free of cycles.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    places: BTreeMap<ServiceName, usize>,
    dependencies: Vec<Vec<(usize, Condition)>>,
    dependents: Vec<Vec<usize>>,
    ranks: Vec<u32>,
    /// Dependents before what they depend on.
    downwards: Vec<usize>,
}

impl Graph {
    pub(crate) fn new<S: Borrow<ServiceSpec>>(specs: &[S]) -> Result<Self, GraphError> {
        let specs: Vec<&ServiceSpec> = specs.iter().map(Borrow::borrow).collect();
        let places: BTreeMap<_, _> = specs.iter().enumerate().map(|(place, spec)| (spec.name.clone(), place)).collect();
        let mut dependencies = Vec::with_capacity(specs.len());
        let mut dependents = vec![Vec::new(); specs.len()];
        for (place, spec) in specs.iter().enumerate() {
            let mut edges = Vec::with_capacity(spec.depends_on.len());
            for dependency in &spec.depends_on {
                let Some(&on) = places.get(&dependency.on) else {
                    return Err(GraphError::UnknownDependency {
                        service: spec.name.clone(),
                        on: dependency.on.clone(),
                    });
                };
                edges.push((on, dependency.condition));
                dependents[on].push(place);
            }
            dependencies.push(edges);
        }
        let upwards = upwards(&dependencies)
            .map_err(|cycle| GraphError::Cycle(cycle.into_iter().map(|place| specs[place].name.clone()).collect()))?;
        let mut ranks = vec![0; specs.len()];
        for &place in &upwards {
            let below = dependencies[place].iter().map(|&(on, _)| ranks[on]).max();
            ranks[place] = 1 + below.unwrap_or(0);
        }
        let downwards = upwards.into_iter().rev().collect();
        Ok(Self { places, dependencies, dependents, ranks, downwards })
    }

    pub(crate) fn place(&self, name: &ServiceName) -> Option<usize> {
        self.places.get(name).copied()
    }

    pub(crate) fn dependencies(&self, place: usize) -> &[(usize, Condition)] {
        &self.dependencies[place]
    }

    pub(crate) fn dependents(&self, place: usize) -> &[usize] {
        &self.dependents[place]
    }

    /// Higher than the rank of everything that it depends on.
    pub(crate) fn rank(&self, place: usize) -> u32 {
        self.ranks[place]
    }

    /// Every service, dependents before what they depend on.
    pub(crate) fn downwards(&self) -> &[usize] {
        &self.downwards
    }

    /// What these depend on, directly or not, without themselves; each once.
    pub(crate) fn below(&self, named: &[usize]) -> Vec<usize> {
        let mut seen = vec![false; self.ranks.len()];
        for &place in named {
            seen[place] = true;
        }
        let mut open = named.to_vec();
        let mut below = Vec::new();
        while let Some(place) = open.pop() {
            for &(on, _) in &self.dependencies[place] {
                if !seen[on] {
                    seen[on] = true;
                    below.push(on);
                    open.push(on);
                }
            }
        }
        below
    }
}

/// An order in which everything comes after what it depends on, or the first cycle. Walks with a stack of its own:
/// a chain of thousands must not end ours.
fn upwards(dependencies: &[Vec<(usize, Condition)>]) -> Result<Vec<usize>, Vec<usize>> {
    #[derive(Clone, Copy)]
    enum Mark {
        Unseen,
        OnPath,
        Done,
    }
    let mut marks = vec![Mark::Unseen; dependencies.len()];
    let mut order = Vec::with_capacity(dependencies.len());
    for root in 0..dependencies.len() {
        let mut path: Vec<(usize, usize)> = Vec::new();
        if matches!(marks[root], Mark::Unseen) {
            marks[root] = Mark::OnPath;
            path.push((root, 0));
        }
        while let Some((place, edge)) = path.last_mut() {
            let Some(&(on, _)) = dependencies[*place].get(*edge) else {
                marks[*place] = Mark::Done;
                order.push(*place);
                path.pop();
                continue;
            };
            *edge += 1;
            match marks[on] {
                Mark::Unseen => {
                    marks[on] = Mark::OnPath;
                    path.push((on, 0));
                }
                Mark::OnPath => {
                    let mut cycle: Vec<_> = path.iter().map(|&(place, _)| place).skip_while(|&p| p != on).collect();
                    cycle.push(on);
                    return Err(cycle);
                }
                Mark::Done => {}
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Dependency;

    fn name(text: &str) -> ServiceName {
        ServiceName::new(text).unwrap()
    }

    fn spec(own: &str, on: &[&str]) -> ServiceSpec {
        let depends_on = on.iter().map(|on| Dependency { on: name(on), condition: Condition::Ready }).collect();
        ServiceSpec { depends_on, ..ServiceSpec::bare(name(own)) }
    }

    fn error(specs: &[ServiceSpec]) -> String {
        Graph::new(specs).unwrap_err().to_string()
    }

    #[test]
    fn a_cycle_is_refused_with_its_path() {
        let specs = [spec("x", &["a"]), spec("a", &["b"]), spec("b", &["c"]), spec("c", &["a"])];
        assert_eq!(error(&specs), "services depend on each other: a -> b -> c -> a");
        assert_eq!(error(&[spec("a", &["a"])]), "services depend on each other: a -> a");
    }

    #[test]
    fn an_unknown_dependency_is_refused_by_name() {
        assert_eq!(error(&[spec("a", &["nobody"])]), "service `a` depends on `nobody`, which does not exist");
    }

    #[test]
    fn a_chain_of_ten_thousand_is_walked_without_recursion() {
        let names: Vec<_> = (0..10_000).map(|n| format!("s{n}")).collect();
        let mut specs: Vec<_> = names.windows(2).map(|pair| spec(&pair[0], &[&pair[1]])).collect();
        specs.push(spec("s9999", &[]));
        let graph = Graph::new(&specs).unwrap();
        assert_eq!((graph.rank(0), graph.rank(9_999)), (10_000, 1));
        assert_eq!(graph.below(&[0]).len(), 9_999);
        specs[9_999] = spec("s9999", &["s0"]);
        let GraphError::Cycle(path) = Graph::new(&specs).unwrap_err() else { panic!("a cycle") };
        assert_eq!((path.len(), &path[0]), (10_001, &path[10_000]));
    }

    #[test]
    fn a_dependent_ranks_above_all_that_it_depends_on() {
        let specs = [spec("web", &["db", "auth"]), spec("db", &[]), spec("auth", &["db"]), spec("alone", &[])];
        let graph = Graph::new(&specs).unwrap();
        let ranks: Vec<_> = (0..4).map(|place| graph.rank(place)).collect();
        assert_eq!(ranks, [3, 1, 2, 1]);
        let at = |place| graph.downwards().iter().position(|&p| p == place).unwrap();
        assert!(at(0) < at(2) && at(2) < at(1));
        assert_eq!(graph.below(&[0]), [1, 2]);
        assert_eq!(graph.dependents(1), [0, 2]);
    }
}
