"""What is measured: operators, their workloads, and which of them to sample. No torch.

dataset          finds operators in folders and FlashInfer-Trace datasets; lists bad files
dataset_problem  what could not be read, with its place; what makes a workload unusable
operators        one operator: definition, workloads, policy, peers, cost
policy           tolerances and libraries of an operator
held_out         draws sizes and scalars that no public workload has
regimes          bands of workloads that behave alike, and a sample that stands for all
segmentation     the arithmetic of the bands
listing          an operator's contract and a page of its workloads
solution_folder  a solution as a folder with candidate.toml
workspace        the folders in which candidates are written
costs/           the work of workloads, counted by an operator's own code in a process
templates/       first sources of a candidate, by language and binding
"""
