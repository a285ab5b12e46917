"""Code for files that stand alone: has what a task asks for on a GPU made where there is none."""

HERE = '''
class KhHere(torch.overrides.TorchFunctionMode):
    """Makes on another device what is asked for on "cuda", or moved there.

    Args:
        device: where things are made instead.
    """

    def __init__(self, device):
        super().__init__()
        self.device = torch.device(device)
        self.asked = False

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.cuda:
            self.asked = True
            return args[0].to(self.device)
        named = {key: self.placed(value) for key, value in (kwargs or {}).items()}
        return function(*map(self.placed, args), **named)

    def placed(self, value):
        """The value, or this device where the value is one of CUDA's."""
        told = value if isinstance(value, str) else getattr(value, "type", "")
        if not isinstance(value, str | torch.device) or told.partition(":")[0] != "cuda":
            return value
        self.asked = True
        return self.device
'''


def names_a_gpu(source: str) -> bool:
    """Whether code may ask for a GPU."""
    return "cuda" in source
