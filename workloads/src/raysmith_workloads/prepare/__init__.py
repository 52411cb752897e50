"""Data to shards: read, check, tokenise, pack, with Ray Data. Bad rows are named with file and line.

The files in the order of the work:

    run.py            the whole of it                       check.py     the same without a result
    inputs.py         what is learned from, looked at but not read
    sources.py        addresses -> files                    builtin.py   data sets that come with Raysmith
    plan.py           files -> chunks with first line numbers, digests of the contents
    formats.py        the first row -> how the source's rows are laid out
    read.py           a chunk -> rows, each with its line
    rows.py           a row -> a conversation or a text     faults.py    or what is wrong with it
    tokenizer.py      the model's tokenizer, or a small one trained on the run's own text
    conversation.py   a conversation -> text by the chat template, and the spans to learn
    encode.py         rows -> tokens and loss masks
    stream.py         the steps from read.py to encode.py as one Ray Data stream
    collect.py        the stream -> sides, counts, questions
    pack.py           rows -> sequences
    shards.py         sequences -> Arrow files, and back for the trainer
    notes.py          what a person should know, and when there is nothing to learn
"""
