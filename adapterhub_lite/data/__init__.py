"""Rows in, one way: read → columns → rows → check → clean → split → sample.

========================  ==================================================================
:mod:`~.reading`          a file or folder becomes a table, through a reader plugin
:mod:`~.columns`          which column is the text, which the label
:mod:`~.labels`           cells become labelled texts (:class:`~.table.TextSet`)
:mod:`~.examples`         what rows of every other kind are
:mod:`~.cells`            a cell becomes a text, a number, a list, or an error
:mod:`~.forms`            the form that a table has, and its columns by role
:mod:`~.kinds`            a table becomes rows of a kind
:mod:`~.tagging`          … words with tags, and the scheme of the tags
:mod:`~.values`           … texts with numbers, similar texts
:mod:`~.questions`        … questions with answers in a context
:mod:`~.dialogues`        … conversations, which can be written as well
:mod:`~.texts`            … documents, sources with targets
:mod:`~.loading`          all files of a ``data:`` section
:mod:`~.rowsets`          what is alike for rows of all kinds
:mod:`~.normalise`        one spelling of each text
:mod:`~.duplicates`       exact search for near-duplicates
:mod:`~.clean`            which rows cannot be used, and the rest
:mod:`~.checks`           everything worth knowing about the rows, as a :mod:`~.report`
:mod:`~.checked`          … a set under check, and how its rows are shown
:mod:`~.text_checks`      … of labelled texts alone
:mod:`~.example_checks`   … of each other kind alone
:mod:`~.splits`           hold rows out for testing and validation
:mod:`~.shots`            a few rows of each class
:mod:`~.replay`           rows of an earlier task, against forgetting
:mod:`~.hashing`          fingerprints, and the order that draws are made in
:mod:`~.prepare`          all of it, from a recipe's ``data:`` section
========================  ==================================================================
"""
