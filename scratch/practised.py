import sys; st=sys.argv[1]; sys.argv=["orc.py", st, "none"]; TOLD=(sys.argv+[""]) 
src=open("scratch/orc.py").read().split("for told in (sys.argv")[0]
exec(src)
l.speller=None
from vfm_course.vlm.practice import Speller, detailed, listed, drill
from vfm_course.vlm.drawn import drawn_scenes
from vfm_course.pretraining.recipes.language import reading_order, placed_text
from collections import Counter
g=drawn_scenes("train",60000).graphs; sp=Speller(); rng=np.random.default_rng(5)
w=l.model.get_input_embeddings()
for told in ("squared","words"):
  for kind in ("list","detail","drill"):
    hit=Counter(); tot=Counter()
    for s in g[-150:]:
        n=None if told=="words" else squared([s]) if told=="squared" else loose([s],rng)
        parts=listed(s,reading_order(s,None if n is None else n[0])) if kind=="list" else (detailed if kind=="detail" else drill)(s,rng)
        line=[(BEGIN,False)]+(sp([(f"{PICTURE} {placed_text(s)}<end>",False)]) if told=="words" else []); k0=len(line)
        line+=sp(parts); t=torch.tensor([[x for x,_ in line]]); x=w(t)
        if n is not None: x=torch.cat([l.notes(w,torch.from_numpy(n)),x],1)
        with torch.no_grad(): lo=l.model(inputs_embeds=x).logits[0,-t.shape[1]:]
        pred=lo.argmax(-1).tolist(); pos=k0
        for (q,_),(an,_) in zip(parts[::2],parts[1::2]):
            pos+=len(sp.spell(q)); ids=sp.spell(an); key=" ".join(q.split()[1:3])
            ok=[pred[pos+i-1]==ids[i] for i in range(len(ids))]
            if kind=="list":
                for i in range(len(ids)-1):
                    if i%8 in (1,3,5,6): hit["tok%d"%(i%8)]+=ok[i]; tot["tok%d"%(i%8)]+=1
            else: hit[key]+=all(ok); tot[key]+=1
            pos+=len(ids)
    print(told,kind,{k:round(hit[k]/tot[k],2) for k in tot},flush=True)
