import torch, numpy as np, sys, copy
torch.set_num_threads(1)
from vfm_course.vlm.align import *
from vfm_course.vlm.drawn import drawn_scenes
from vfm_course.vlm.variants import build
from vfm_course.vlm.features import encode
from vfm_course.families.load import load
from transformers import LlamaForCausalLM
from vfm_course.pretraining.recipes.language import language_config
from vfm_course.pretraining.recipes.clip_scenes import scale_residual
import os
s=torch.load(sys.argv[1],weights_only=True)["learner"]
lm=LlamaForCausalLM(language_config()); lm.load_state_dict({k[6:]:v for k,v in s.items() if k.startswith("model.")})
n=NoteEmbedding(128); n.load_state_dict({k[6:]:v for k,v in s.items() if k.startswith("notes.")}); n.requires_grad_(False)
d=drawn_scenes("train",60000); N=4000
v1=load("clip-scenes","pocket","cpu").model.vision_model
v2=copy.deepcopy(v1); e=torch.load(sys.argv.pop(2),weights_only=True); print("eyes2 at",e["record"]["seen"])
v2.load_state_dict({k.removeprefix("model.vision_model."):w for k,w in e["learner"].items() if k.startswith("model.vision_model.")}); scale_residual(v2,.25)
for nm,v in (("eyes1",v1),("eyes2",v2)):
    f=torch.cat([encode(v,d.images[i:i+200]) for i in range(0,N,200)]).numpy()
    for name in sys.argv[2:]:
        m=build(name,lm)
        c=align(m.connector,f[:,getattr(m,"skip",0):],d.graphs[:N],lm.get_input_embeddings(),n,16000,unit=name=="gated")
        print(nm,name,[round(p["notes"],3) for p in c.points[::8]],round(c.seconds),flush=True)
