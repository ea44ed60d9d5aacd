"""LM oracle: orc.py STATE.pt [n]"""
import sys, torch, numpy as np
torch.set_num_threads(1)
from vfm_course.pretraining.recipes.language import LanguageLearner
from vfm_course.vlm.notes import loose, squared
from vfm_course.vlm.prompts import *
from vfm_course.vlm.tokenizer import *
from vfm_course.vlm.examine import score
from vfm_course.world.vqa_files import frozen
from vfm_course.world.vqa import scene_of
from vfm_course.world.placed_text import placed_text
class L(LanguageLearner):
    def __init__(self):
        torch.nn.Module.__init__(self)
        from transformers import LlamaForCausalLM
        from vfm_course.pretraining.recipes.language import language_config, WIDTH, NoteEmbedding
        self.model=LlamaForCausalLM(language_config()); self.notes=NoteEmbedding(WIDTH)
s=torch.load(sys.argv[1],weights_only=True); print(s["record"]["seen"], s["record"]["seconds"], s["record"]["curve"][-1])
l=L(); l.load_state_dict(s["learner"]); l.eval()
qs=frozen("balanced"); scenes=[scene_of(q) for q in qs]; tk=vlm_tokenizer()
rng=np.random.default_rng(0)
@torch.no_grad()
def ans(told):
    out=[]
    w=l.model.get_input_embeddings()
    for i,(q,s) in enumerate(zip(qs,scenes)):
        ids=tk(question_prompt(q.text))["input_ids"]
        if told=="words": ids=tk(f"{PICTURE} {placed_text(s)}{'<end>'}"+question_prompt(q.text))["input_ids"]
        x=w(torch.tensor([ids]))
        if told!="words":
            n=torch.from_numpy(loose([s],rng) if told=="loose" else squared([s])); x=torch.cat([l.notes(w,n),x],1)
        said=[]
        for _ in range(4):
            t=int(l.model(inputs_embeds=x,use_cache=False).logits[0,-1].argmax())
            if t==END: break
            said.append(t); x=torch.cat([x,w(torch.tensor([[t]]))],1)
        out.append(tk.decode(said))
    return out
for told in (sys.argv[2:] or ["squared","loose","words"]):
    r=score(ans(told),qs); print(told,{k:round(v,2) for k,v in r.items()})
