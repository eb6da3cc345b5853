"""Files as nobody writes them, given to every reader there is: it reads them, or says in one line what is wrong with them.

    python -m tests.fuzz --reader model --seconds 60 --seed 0     one reader, for a minute
    python -m tests.fuzz --seconds 60                             each for a minute
    python -m tests.fuzz --reader model --seed 0 --only 1234      one input again, with its traceback

Inputs are made by changing small valid files where their structure lies: an array behind the checksum, a part of a PNG
file, the directory of a zip file, the header of a .npy file. An input follows from reader, seed and number alone. `watch.py`
says what is a finding: any error but a documented one in one line, more than 5 seconds or 1 GiB, a warning, or anything
done beside reading (importing, running, connecting, writing elsewhere). Findings that were mended are kept in
`tests/test_fuzz_findings.py`, which also runs every reader for a moment.

    readers.py       the table: who adds a reader adds an entry
    mutate.py        changes to bytes, numbers and JSON
    model_files.py, tables.py, own_tables.py, pictures.py, archives.py   what is odd in each format, and how it is read
    watch.py         one reading, and the verdict
"""
