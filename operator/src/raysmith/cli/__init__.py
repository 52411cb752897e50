"""`raysmith`: the same object files, on this machine. It starts the workloads as processes and never imports them."""
