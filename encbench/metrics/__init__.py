"""Metrics with unit, range and direction; a variant on other points is in its base's module."""

from collections.abc import Mapping

from encbench.contracts.metric import Metric, MetricValue
from encbench.plugins.hookspecs import hookimpl

__all__ = ["Metric", "MetricValue"]


@hookimpl
def encbench_metrics() -> Mapping[str, str]:
    return {
        "psnr": "encbench.metrics.psnr:Psnr",
        "psnr_held_out": "encbench.metrics.psnr:PsnrHeldOut",
        "ms_ssim": "encbench.metrics.ms_ssim:MsSsim",
        "ssim": "encbench.metrics.ssim:Ssim",
        "lpips": "encbench.metrics.lpips:Lpips",
        "relative_l2": "encbench.metrics.relative_l2:RelativeL2",
        "snr": "encbench.metrics.snr:Snr",
        "snr_held_out": "encbench.metrics.snr:SnrHeldOut",
        "log_spectral_distance": "encbench.metrics.log_spectral_distance:LogSpectralDistance",
        "iou": "encbench.metrics.iou:Iou",
        "iou_held_out": "encbench.metrics.iou:IouHeldOut",
        "near_surface_iou": "encbench.metrics.iou:NearSurfaceIou",
        "bce": "encbench.metrics.bce:Bce",
        "chamfer_l1": "encbench.metrics.chamfer_l1:ChamferL1",
        "l1": "encbench.metrics.l1:L1",
        "near_surface_l1": "encbench.metrics.l1:NearSurfaceL1",
        "eikonal_residual": "encbench.metrics.l1:EikonalResidual",
        "max_error": "encbench.metrics.l1:MaxError",
        "f_score": "encbench.metrics.f_score:FScore",
        "normal_consistency": "encbench.metrics.normal_consistency:NormalConsistency",
        "depth_psnr": "encbench.metrics.psnr:DepthPsnr",
        "depth_ms_ssim": "encbench.metrics.ms_ssim:DepthMsSsim",
        "depth_ssim": "encbench.metrics.ssim:DepthSsim",
    }
