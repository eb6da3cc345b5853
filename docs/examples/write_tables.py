"""Write the tables of docs/own-data.md: iris.csv, wine.csv and diabetes.csv from scikit-learn, penguins.csv, new-flowers.csv."""

from __future__ import annotations

import csv
from pathlib import Path

from sklearn.datasets import load_diabetes, load_iris, load_wine

PENGUINS = """\
id,island,mass_g,sex,species
1,Biscoe,3750,female,Adelie
2,Dream,3800,male,Adelie
3,Biscoe,5400,male,Gentoo
4,Torgersen,3475,,Adelie
5,Biscoe,4725,female,Gentoo
6,Dream,NA,female,Adelie
7,Biscoe,5550,male,Gentoo
8,Torgersen,3650,male,Adelie
9,Biscoe,4850,female,Gentoo
10,Biscoe,5000,female,Gentoo
"""
NEW_FLOWERS = """\
garden_bed,petal_length,petal_width,sepal_length,sepal_width
A,1.4,0.2,5.1,3.5
A,4.5,1.5,6.4,3.2
B,6.0,2.5,6.3,3.3
"""

for name, load, target in (
    ("iris", load_iris, "species"),
    ("wine", load_wine, "cultivar"),
    ("diabetes", load_diabetes, "progression"),
):
    bunch = load()
    names = [feature.removesuffix(" (cm)").replace(" ", "_") for feature in bunch.feature_names]
    classes = getattr(bunch, "target_names", None)
    targets = bunch.target if classes is None else classes[bunch.target]
    with Path(f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, target])
        writer.writerows([*row, answer] for row, answer in zip(bunch.data.tolist(), targets.tolist(), strict=True))
Path("penguins.csv").write_text(PENGUINS)
Path("new-flowers.csv").write_text(NEW_FLOWERS)
