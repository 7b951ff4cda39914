//! The integration tests of the pipeline, one binary so that they link once.

mod cli; // the `glisten` program as its users call it
mod data_fetch; // fetching, and every way it can go wrong
mod data_files; // reading and fetching data sets, and ten kinds of broken files
mod data_splits; // train, validation and test
mod jupyterlab; // the example notebook in JupyterLab in headless Chromium: run all, look, stop, go on
mod kernel_conformance; // jupyter_kernel_test, completion, a soak: real clients against the kernel
mod layout; // modules point one way only, and say what they are for
mod notebook; // the example notebook through the kernel, with nbclient
mod pipeline; // fit, store, analytics: one seed one result
mod report_in_browser; // the report in headless Chromium
mod selection; // what GLISTER promises, its errors, and the loader that uses it
mod selection_exactness; // GLISTER's picks against brute force with autograd
mod store; // writers in several processes, kill -9
mod support; // what several of these need
