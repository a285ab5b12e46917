"""What to measure: operators, their workloads, which to sample, and how fast is possible.

    dataset.py          finds operators in folders and FlashInfer-Trace datasets; lists bad files
    operator.py          one operator: definition, workloads, policy, peers, cost
    solution_folder.py  a solution as a folder with candidate.toml
    regimes.py          bands of workloads that behave alike, and a sample that stands for all
    segmentation.py     the arithmetic of the bands

Pure but for the reading of files; no torch.
"""
