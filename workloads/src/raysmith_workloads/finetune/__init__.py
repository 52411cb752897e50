"""Prepared shards to a tuned model, with Ray Train. The files in the order of the work.

run.py            the driver: claim the attempt, start the workers, make the record
start.py          what training starts from: an address or another run -> folders, checked
workers.py        how many workers, with which share of the machines
fit.py            Ray Train from its start to its end: signals, deadline, suspending
one_machine.py    Ray Train without what only clusters need
faults.py         what workers died of -> one sentence
worker.py         what each worker does, from loading to saving
world.py          the workers together: sums, gathering
model.py          weights: load, make new ones, add or merge an adapter, save
attention.py      attention over documents that do not see one another, without padding
data.py           global sample order -> batches
loss.py           negative log-likelihood, computed only where something is learned
loop.py           the training loop
schedule.py       how the learning rate goes
interval.py       when the next checkpoint is due
checkpoint.py     the state of training on disk, atomic and fenced
evaluate.py       loss, exact match, stop rate, answers
gate.py           what is good enough
curve.py          metrics.jsonl of all attempts -> one curve
plot.py           its picture
record.py         run.json
page.py           report.html, from page.html.jinja
"""
