"""The evidence behind the recipes: trained, scored, compared and written down by one chain.

::

    plans/NAME.toml  --train-->    build/evidence/NAME/rows.jsonl    a row for each arm and seed
                     --collect-->  benchmarks/results/evidence-NAME.json
                     --page-->     docs/evidence.md, docs/recipes/*.md, between markers
                     --students--> benchmarks/students/NAME          the best arm's first seed
                     --verify-->   what the committed files still do (``make evidence``)
"""
