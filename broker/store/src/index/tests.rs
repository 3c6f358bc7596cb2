mod crash;
mod model;
mod threads;
