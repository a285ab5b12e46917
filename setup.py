"""Maps the four rooms that ship onto one import root, and finds their packages."""

from setuptools import find_namespace_packages, setup

ROOMS = ("server", "tools", "kernels", "skills")
packages = [f"kernel_harness.{p}" for p in find_namespace_packages(".") if p.split(".")[0] in ROOMS]
setup(packages=packages, package_dir={f"kernel_harness.{room}": room for room in ROOMS})
