"""Every autoscaler's headline side by side, on its own traces, in the simulator: `python -m bench repro NAME`.

    level       how far the truth is from what planners know: noise of batches, and a bias that they do not know              (`level`)
    profile     the fit to samples of the truth that planners get                                                            (`profile`)
    study       cases with their contenders, curves, what was published                                                      (`study`)
    runs        contenders paired by seed, in parallel; means, 95 % intervals, differences to the paper's own system         (`runs`, `row`, `spread`)
    outputs     tables, figures over time, the section in docs/reproduction.md                                               (`told`, `figures`, `document`)

A study is a module of this package with `study(quick) -> Study`, listed in `command.STUDIES`.
"""
