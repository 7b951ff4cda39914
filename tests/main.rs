//! The integration tests of the pipeline, one binary so that they link once.

mod analytics; // runs as tables: types, order, columns, what differs
mod analytics_parity; // statistics beside NumPy's, tables beside SageMaker's ExperimentAnalytics
mod analytics_search; // searching runs: SageMaker's grammar, the short form, what does not fit
mod analytics_syntax; // the text of a search: mistakes, and back and forth
mod charts; // any columns as charts
mod checkpoint; // killed at any moment, resumed, and checkpoints that cannot be written or used
mod cli; // the `glisten` program as its users call it
mod cli_runs; // `glisten runs` and `glisten logs`: every format, filters, following another process
mod cli_train_predict; // `glisten train` and `glisten predict` on tables, folders and arrays
mod cli_watch; // `glisten watch` and `glisten runs --follow` on a terminal
mod data_fetch; // fetching, and every way it can go wrong
mod data_files; // reading and fetching data sets, and ten kinds of broken files
mod data_fuzz; // every reader against mutated files
mod data_hostile; // bombs, and files that are no files
mod data_images; // folders of images, NumPy arrays, CIFAR-100 and EMNIST
mod data_options; // class imbalance, label noise, and data sets as sweep files name them
mod data_splits; // train, validation and test
mod data_tables; // tables: CSV, Parquet, dataframes
mod data_types; // Parquet columns of every type
mod documents; // what README, guide and help show, run as it stands there
mod exchange; // exports and imports, with MLflow and TensorBoard themselves at the other end
mod gpu; // what computes on a GPU, where there is one
mod hostile_input; // fuzzed: stores, searches, sweep files: never a panic, never a hang
mod hostile_store; // stores that somebody else made, with programs, paths, links and circles in them
mod jupyterlab; // the example notebook in JupyterLab in headless Chromium: run all, look, stop, go on
mod kernel_conformance; // jupyter_kernel_test, completion, a soak: real clients against the kernel
mod layout; // modules point one way only, and say what they are for
mod loader; // warm starts, pools, the cheap mode
mod notebook; // the example notebook through the kernel, with nbclient
mod operators; // own operators against libtorch's, value and gradient
mod own_loop; // a training loop of one's own: batches, weights, what a strategy is told
mod pipeline; // fit, store, analytics: one seed one result
mod regression; // targets of any scale, predictions on it, models of before
mod report; // reports of several experiments, what was chosen, every option of `glisten report`
mod report_in_browser; // the report in headless Chromium
mod runs; // started, loaded, marked, deleted; the files kept with them
mod selection; // what GLISTER promises, its errors, and the loader that uses it
mod selection_exactness; // GLISTER's picks against brute force with autograd
mod store; // a step logged twice, any name, kept selections, kill -9, files that are no store
mod store_at_once; // a new store opened by many processes at once; what a run records of its surroundings
mod store_under_stress; // writers killed, a full disk, sixteen processes at once
mod store_versions; // older and newer stores, and those that can only be read
mod strategies; // what every strategy promises, and the weighted draw's own
mod support; // what several of these need
mod sweep_failures; // sweeps of which runs diverge, are stopped or fail
mod trained_model; // saved, loaded, predicting
mod training; // every model and every setting of a step
