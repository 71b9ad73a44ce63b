//! The login whole: the OAuth service beside a sandbox tenant, asked by real MCP clients and by people in a browser.
//! Not here: what each route of the service answers; its own tests show that.

mod browser;
mod clients;
mod faults;
mod flow;
mod sandbox;
mod secrets;
mod stand;
