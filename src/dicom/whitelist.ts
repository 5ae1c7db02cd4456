/**
 * The attributes that a derived object takes from its source, by module of PS3.3. What is not listed stays behind:
 * group lengths, overlays and curves (drawn on the source's pixels), icon images, digital signatures, and every private
 * group. The private keep-list is empty: vendors' private headers describe the source's pixels (CSA, thumbnails,
 * checksums) and would be wrong on corrected ones. Within Enhanced functional groups private macros stay, because
 * there the frame that they describe keeps its identity.
 */
import { tagOf } from './dictionary.js';

const modules = {
  sopCommon: `SpecificCharacterSet TimezoneOffsetFromUTC LongitudinalTemporalInformationModified
    ContentQualification SynchronizationFrameOfReferenceUID SynchronizationTrigger AcquisitionTimeSynchronized`,
  patient: `PatientName PatientID IssuerOfPatientID IssuerOfPatientIDQualifiersSequence TypeOfPatientID
    OtherPatientIDs OtherPatientIDsSequence OtherPatientNames PatientBirthDate PatientBirthTime PatientSex
    PatientBirthName PatientMotherBirthName EthnicGroup PatientComments PatientSpeciesDescription
    PatientBreedDescription ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization
    QualityControlSubject PatientIdentityRemoved DeidentificationMethod DeidentificationMethodCodeSequence
    ReferencedPatientSequence PatientInstitutionResidence`,
  clinicalTrial: `ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName ClinicalTrialSiteID
    ClinicalTrialSiteName ClinicalTrialSubjectID ClinicalTrialSubjectReadingID ClinicalTrialTimePointID
    ClinicalTrialTimePointDescription ClinicalTrialCoordinatingCenterName ClinicalTrialSeriesID
    ClinicalTrialSeriesDescription`,
  generalStudy: `StudyInstanceUID StudyDate StudyTime StudyID AccessionNumber IssuerOfAccessionNumberSequence
    StudyDescription ReferringPhysicianName ReferringPhysicianIdentificationSequence ConsultingPhysicianName
    PhysiciansOfRecord PhysiciansOfRecordIdentificationSequence NameOfPhysiciansReadingStudy
    RequestingService ReferencedStudySequence ProcedureCodeSequence ReasonForPerformedProcedureCodeSequence`,
  patientStudy: `AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence PatientAge PatientSize PatientWeight
    PatientBodyMassIndex MedicalAlerts Allergies SmokingStatus PregnancyStatus LastMenstrualDate PatientState
    Occupation AdditionalPatientHistory AdmissionID IssuerOfAdmissionIDSequence ServiceEpisodeID
    ServiceEpisodeDescription PatientSexNeutered SpecialNeeds`,
  generalSeries: `Modality SeriesDate SeriesTime Laterality PerformingPhysicianName OperatorsName ProtocolName
    BodyPartExamined AnatomicRegionSequence PatientPosition PatientOrientationCodeSequence
    PatientGantryRelationshipCodeSequence ReferencedPerformedProcedureStepSequence RequestAttributesSequence
    PerformedProcedureStepID PerformedProcedureStepStartDate PerformedProcedureStepStartTime
    PerformedProcedureStepEndDate PerformedProcedureStepEndTime PerformedProcedureStepDescription
    PerformedProtocolCodeSequence CommentsOnThePerformedProcedureStep PerformedStationAETitle
    PerformedStationName PerformedLocation TreatmentSessionUID AnatomicalOrientationType`,
  request: `RequestingPhysician RequestedProcedureDescription RequestedProcedureCodeSequence
    RequestedProcedureID ScheduledProcedureStepID ScheduledProcedureStepDescription
    PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest`,
  frameOfReference: `FrameOfReferenceUID PositionReferenceIndicator`,
  equipment: `Manufacturer InstitutionName InstitutionAddress StationName InstitutionalDepartmentName
    ManufacturerModelName DeviceSerialNumber SoftwareVersions GantryID DeviceUID SpatialResolution
    DateOfLastCalibration TimeOfLastCalibration PixelPaddingValue PixelPaddingRangeLimit`,
  generalImage: `InstanceNumber PatientOrientation AcquisitionNumber AcquisitionDate AcquisitionTime
    AcquisitionDateTime ImagesInAcquisition ImageComments QualityControlImage BurnedInAnnotation
    RecognizableVisualFeatures LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod
    ReferencedImageSequence PresentationLUTShape AcquisitionUID IrradiationEventUID`,
  imagePlane: `PixelSpacing ImageOrientationPatient ImagePositionPatient SliceThickness SpacingBetweenSlices
    SliceLocation StackID InStackPositionNumber TemporalPositionIndex TemporalPositionIdentifier
    NumberOfTemporalPositions TemporalResolution PositionMeasuringDeviceUsed`,
  imagePixel: `PixelAspectRatio`,
  contrast: `ContrastBolusAgent ContrastBolusAgentSequence ContrastBolusRoute
    ContrastBolusAdministrationRouteSequence ContrastBolusVolume ContrastBolusStartTime ContrastBolusStopTime
    ContrastBolusTotalDose ContrastFlowRate ContrastFlowDuration ContrastBolusIngredient
    ContrastBolusIngredientConcentration`,
  mrImage: `ScanningSequence SequenceVariant ScanOptions MRAcquisitionType RepetitionTime EchoTime
    EchoTrainLength InversionTime TriggerTime SequenceName AngioFlag NumberOfAverages ImagingFrequency
    ImagedNucleus EchoNumbers MagneticFieldStrength NumberOfPhaseEncodingSteps PercentSampling
    PercentPhaseFieldOfView PixelBandwidth NominalInterval BeatRejectionFlag LowRRValue HighRRValue
    IntervalsAcquired IntervalsRejected PVCRejection SkipBeats HeartRate CardiacNumberOfImages TriggerWindow
    ReconstructionDiameter ReceiveCoilName TransmitCoilName AcquisitionMatrix InPlanePhaseEncodingDirection
    FlipAngle SAR VariableFlipAngleFlag dBdt B1rms TemporalPositionTimeOffset TriggerSourceOrType
    AcquisitionDuration DiffusionBValue DiffusionGradientOrientation DiffusionDirectionality
    ComplexImageComponent AcquisitionContrast PulseSequenceName FrameAcquisitionNumber NumberOfSlices`,
  enhancedMr: `ResonantNucleus KSpaceFiltering ApplicableSafetyStandardAgency ApplicableSafetyStandardDescription
    PixelPresentation VolumetricProperties VolumeBasedCalculationTechnique IsocenterPosition
    CardiacSynchronizationTechnique CardiacSignalSource CardiacRRIntervalSpecified CardiacBeatRejectionTechnique
    RespiratoryMotionCompensationTechnique RespiratorySignalSource
    RespiratoryMotionCompensationTechniqueDescription MetaboliteMapDescription DimensionOrganizationSequence
    DimensionIndexSequence DimensionOrganizationType RepresentativeFrameNumber ReferencedRawDataSequence
    ReferencedWaveformSequence ReferencedImageEvidenceSequence SourceImageEvidenceSequence
    ReferencedPresentationStateSequence UsedFiducialsSequence ParallelAcquisition
    ParallelReductionFactorInPlane ParallelReductionFactorOutOfPlane ParallelReductionFactorSecondInPlane
    ParallelAcquisitionTechnique PartialFourier PartialFourierDirection`,
  pulseSequence: `EchoPulseSequence MultipleSpinEcho MultiPlanarExcitation PhaseContrast
    VelocityEncodingAcquisitionSequence TimeOfFlightContrast ArterialSpinLabelingContrast
    SteadyStatePulseSequence EchoPlanarPulseSequence SaturationRecovery SpectrallySelectedSuppression
    OversamplingPhase GeometryOfKSpaceTraversal RectilinearPhaseEncodeReordering SegmentedKSpaceTraversal
    CoverageOfKSpace NumberOfKSpaceTrajectories BulkMotionCompensationTechnique BulkMotionSignalSource`,
  displayShutterAndVoi: `WindowCenter WindowWidth WindowCenterWidthExplanation VOILUTFunction VOILUTSequence
    RescaleIntercept RescaleSlope RescaleType RealWorldValueMappingSequence`,
  acquisitionContext: `AcquisitionContextSequence AcquisitionContextDescription`,
  commonInstanceReference: `ReferencedSeriesSequence StudiesContainingOtherReferencedInstancesSequence`,
};

function tagsOf(keywords: string): number[] {
  return keywords
    .split(/\s+/)
    .filter((keyword) => keyword !== '')
    .map(tagOf);
}

/**
 * Required of original multi-frame images and forbidden in derived ones: MR Pulse Sequence (PS3.3 C.8.13.4) and Bulk
 * Motion Synchronization modules, by the conditions of their attributes.
 */
const originalMultiFrameOnly: ReadonlySet<number> = new Set([
  ...tagsOf(modules.pulseSequence),
  ...tagsOf('PulseSequenceName MRAcquisitionType'),
]);

/** Tags that are copied, each with its bytes as they are; functional groups are rewritten and not among them. */
export function copiedTags(multiFrame: boolean): readonly number[] {
  return multiFrame ? multiFrameTags : singleFrameTags;
}
const singleFrameTags = [...new Set(Object.values(modules).flatMap(tagsOf))];
const multiFrameTags = singleFrameTags.filter((tag) => !originalMultiFrameOnly.has(tag));
