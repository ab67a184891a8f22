"""Rows in, one way: read → columns → text set → check → clean → split → sample.

========================  ==================================================================
:mod:`~.reading`          a file or folder becomes a table, through a reader plugin
:mod:`~.columns`          which column is the text, which the label
:mod:`~.labels`           cells become texts and labels
:mod:`~.normalise`        one spelling of each text
:mod:`~.duplicates`       exact search for near-duplicates
:mod:`~.clean`            which rows cannot be used, and the rest
:mod:`~.checks`           everything worth knowing about the rows, as a :mod:`~.report`
:mod:`~.splits`           hold rows out for testing
:mod:`~.shots`            a few rows of each class
:mod:`~.hashing`          fingerprints, and the order that draws are made in
:mod:`~.prepare`          all of it, from a recipe's ``data:`` section
========================  ==================================================================
"""
