"""pub.py NAME RUNFOLDER"""
import sys, json
from pathlib import Path
from vfm_course.pretraining.publish import publish
from vfm_course.paths import data_dir
name, run = sys.argv[1], Path(sys.argv[2]).expanduser()
folder = data_dir()/"checkpoints"/name
record = publish(run, folder)
(folder/"record.json").write_text(json.dumps(record, indent=1)+"\n", encoding="utf-8")
print(record["images_seen"], record["minutes"])
