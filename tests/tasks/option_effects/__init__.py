"""What each option does, as data: for every task trainings, predictions and evaluations with and without it.

A module for each task has

    write: makes the files that its tables name, in the current folder.
    SMALL: options of every training; a table's own win over them, and None takes one of them out.
    QUICK: what takes most of the time and is not looked at, by its name, with what stands in for it.
    EFFECTS: what a training has beside SMALL, and the option that must change it.
    NEEDED: the same, where without the option the data are refused.
    USELESS: the same, where the option would have no effect, and is refused.
    PREDICTIONS: options of a training, the file that `recurra predict` reads, its other options, and the option that
        must change what it writes; EVALUATIONS: the same of `recurra evaluate`, the file None for the test data.
    ELSEWHERE: options that are tested with the files that they name.
"""
